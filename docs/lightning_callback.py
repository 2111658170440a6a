"""A Lightning callback that measures the steps of a trainer; batches are (inputs, targets)."""

from contextlib import ExitStack

import lightning

import normscope


class MonitorCallback(lightning.Callback):
    """Takes the loss function and the options of `normscope.Monitor`."""

    def __init__(self, loss_fn, **options):
        self.loss_fn, self.options, self.open = loss_fn, options, ExitStack()

    def on_fit_start(self, trainer, module):
        self.monitor = normscope.Monitor(module, self.loss_fn, **self.options)

    def on_train_batch_start(self, trainer, module, batch, index):
        self.batch = batch

    def on_before_backward(self, trainer, module, loss):
        self.loss = loss.detach()

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.open.enter_context(self.monitor.step(*self.batch, self.loss))

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.open.close()

    def on_fit_end(self, trainer, module):
        self.monitor.finish()
