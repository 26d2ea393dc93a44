"""The compiler: from layers to ops, and from ops to a compiled program.

Importing it registers compiled prediction with `nn.Module`.
"""

from cnet._compiler.predictor import predict as predict
