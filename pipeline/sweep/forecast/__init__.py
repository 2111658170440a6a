"""What a run would do: which cells can run, how long they take, what they cost."""
