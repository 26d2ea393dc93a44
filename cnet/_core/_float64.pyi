"""The compiled functions of `cnet._core._loops.Loops`."""
