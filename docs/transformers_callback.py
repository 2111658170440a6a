"""A callback of Hugging Face's Trainer that measures its steps, for models of images."""

from contextlib import ExitStack

import transformers
from torch import nn

import normscope


class Logits(nn.Module):
    """A model as a function from images to logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(pixel_values=images).logits


class MonitorCallback(transformers.TrainerCallback):
    """Takes the loss function of logits and labels, and the options of `normscope.Monitor`."""

    def __init__(self, loss_fn, **options):
        self.loss_fn, self.options, self.open = loss_fn, options, ExitStack()

    def on_train_begin(self, args, state, control, model, **others):
        self.monitor = normscope.Monitor(Logits(model), self.loss_fn, **self.options)
        self.hook = model.register_forward_hook(self.note, with_kwargs=True)

    def note(self, model, args, given, output):
        if "labels" in given:  # the trainer's call, not a probe's
            self.seen = given["pixel_values"], given["labels"], output["loss"].detach()

    def on_pre_optimizer_step(self, args, state, control, **others):
        self.open.enter_context(self.monitor.step(*self.seen))

    def on_optimizer_step(self, args, state, control, **others):
        self.open.close()

    def on_train_end(self, args, state, control, **others):
        self.hook.remove()
        self.monitor.finish()
