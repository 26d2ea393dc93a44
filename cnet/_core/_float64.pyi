from cnet._core._float32 import *  # noqa: F403
