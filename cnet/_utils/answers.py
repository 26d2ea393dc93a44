"""Names and arguments of PyTorch and Keras, with what cnet has in their place: the tables for
`_hints`.
"""

from __future__ import annotations

OWN_LAYER = (
    "cnet does not have it; a custom layer is a function or a small class, see docs/extending.md"
)
OWN_LOSS = (
    "cnet does not have it; a custom loss is a function or a small class, see docs/extending.md"
)
OWN_OPTIMIZER = (
    "cnet has SGD, Adam, AdamW, NAdam, RMSprop and LBFGS; a custom optimizer is a small class, "
    "see docs/extending.md"
)
_AT_CONSTRUCTION = (
    "a Sequential has the layers that it is constructed with: nn.Sequential(*model, nn.ReLU()) "
    "is a longer one"
)
_INIT = "initial values are chosen at construction, such as nn.Linear(784, 10, weight_init="

# Names of PyTorch and Keras, also of what cnet has by now: nobody asks for an answer to those.
_LAYERS = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d AlphaDropout AvgPool1d AvgPool3d
    BatchNorm3d Bilinear CELU ChannelShuffle Conv1d Conv3d ConvTranspose1d ConvTranspose2d
    ConvTranspose3d CosineSimilarity Dropout1d Dropout2d Dropout3d Embedding EmbeddingBag Fold GLU
    GRU GRUCell GroupNorm Hardshrink Hardsigmoid Hardswish Hardtanh InstanceNorm1d InstanceNorm2d
    LPPool2d LSTM LSTMCell LazyConv2d LazyLinear LocalResponseNorm LogSigmoid LogSoftmax MaxPool1d
    MaxPool3d Mish MultiheadAttention PReLU PixelShuffle RMSNorm RNN RNNCell RReLU ReLU6
    ReflectionPad2d ReplicationPad2d SELU SiLU Softmax2d Softmin Softplus Softshrink Softsign Swish
    Tanhshrink Threshold Transformer TransformerDecoder TransformerEncoder TransformerEncoderLayer
    Unflatten Unfold Upsample UpsamplingBilinear2d ZeroPad2d Add Attention Concatenate Conv1D
    Conv2DTranspose Conv3D DepthwiseConv2D GaussianNoise GroupNormalization MultiHeadAttention
    Permute RepeatVector Reshape SeparableConv2D SimpleRNN SpatialDropout2D TimeDistributed
    UpSampling2D ZeroPadding2D
"""
_LOSSES = """
    CTCLoss CosineEmbeddingLoss GaussianNLLLoss HingeEmbeddingLoss KLDivLoss MarginRankingLoss
    MultiLabelMarginLoss MultiMarginLoss SoftMarginLoss TripletMarginLoss CosineSimilarity Hinge
    KLDivergence LogCosh
"""
_OPTIMIZERS = "ASGD Adadelta Adafactor Adagrad Adamax Ftrl Lion NAdam Nadam RAdam Rprop SparseAdam"


def _each(names: str, answer: str) -> dict[str, str]:
    """Return a table with the same answer to several names."""
    return dict.fromkeys(names.split(), answer)


NN = {
    **_each(_LAYERS, OWN_LAYER),
    **_each(_LOSSES, OWN_LOSS),
    "Dense": "use nn.Linear(in_features, out_features)",
    "Conv2D": "use nn.Conv2d(in_channels, out_channels, kernel_size)",
    "MaxPooling2D": "use nn.MaxPool2d(kernel_size)",
    "AveragePooling2D": "use nn.AvgPool2d(kernel_size)",
    "GlobalAveragePooling2D": "use nn.AvgPool2d of the size of the images, and nn.Flatten()",
    "BatchNormalization": "use nn.BatchNorm1d(features) or nn.BatchNorm2d(channels)",
    "LayerNormalization": "use nn.LayerNorm(shape)",
    "Activation": "each activation is a layer: nn.ReLU(), nn.Tanh(), ...",
    "Input": "the first layer has the size of the input: nn.Linear(784, 128)",
    "Lambda": "put the function itself among the layers, see docs/extending.md",
    "Model": "use nn.Sequential; for several outputs it ends in nn.Heads",
    "ModuleList": "use nn.Sequential, or assign each module to an attribute",
    "ModuleDict": "assign each module to an attribute; for several outputs use nn.Heads",
    "ParameterList": "assign each parameter to an attribute",
    "ParameterDict": "assign each parameter to an attribute",
    "BCELoss": "use nn.BCEWithLogitsLoss, and leave out the nn.Sigmoid before it",
    "BinaryCrossentropy": "use nn.BCEWithLogitsLoss for logits",
    "CategoricalCrossentropy": (
        "use nn.CrossEntropyLoss for logits, or nn.NLLLoss for probabilities"
    ),
    "SparseCategoricalCrossentropy": (
        "use nn.CrossEntropyLoss for logits, or nn.NLLLoss for probabilities"
    ),
    "MeanSquaredError": "use nn.MSELoss",
    "MeanAbsoluteError": "use nn.L1Loss",
    "Huber": "use nn.HuberLoss",
    "Poisson": "use nn.PoissonNLLLoss",
    "functional": (
        "layers and losses are classes: nn.ReLU()(x), nn.CrossEntropyLoss()(output, target)"
    ),
    "utils": (
        "optim.SGD(..., clip_norm=1.0) limits gradients; weight_norm and spectral_norm are not "
        "there"
    ),
    "DataParallel": "cnet uses all cores by itself, see cnet.set_num_threads",
}

INIT = {
    **_each(
        "kaiming_uniform_ kaiming_normal_ he_uniform he_normal HeNormal HeUniform",
        f'{_INIT}"he") or nn.init.He("normal")',
    ),
    **_each(
        "xavier_uniform_ xavier_normal_ glorot_uniform glorot_normal GlorotNormal GlorotUniform",
        f'{_INIT}"xavier") or nn.init.Xavier("normal")',
    ),
    **_each(
        "normal_ RandomNormal trunc_normal_ TruncatedNormal", f"{_INIT}nn.init.Normal(std=0.01))"
    ),
    **_each("uniform_ RandomUniform", f"{_INIT}nn.init.Uniform(-0.1, 0.1))"),
    **_each(
        "zeros_ ones_ constant_ Constant", f'{_INIT}"zeros"), or layer.weight.data[...] = value'
    ),
    **_each(
        "orthogonal_ eye_ dirac_ sparse_ Orthogonal",
        "a custom initializer is a small class, see docs/extending.md",
    ),
}

OPTIM = {
    **_each(_OPTIMIZERS, OWN_OPTIMIZER),
    "StepLR": "it is optim.lr_scheduler.StepLR",
    "schedules": "see optim.lr_scheduler",
    "swa_utils": ("averages of weights are not there; see docs/extending.md for custom callbacks"),
}

TOP = {
    "sklearn": "import cnet.sklearn",
    "layers": "layers are in cnet.nn",
    "losses": "losses are in cnet.nn",
    "optimizers": "optimizers are in cnet.optim",
    "models": "use nn.Sequential",
    "Model": "use nn.Sequential",
    "keras": "see docs/from_keras.md",
    "utils": (
        "data sets are in cnet.datasets; a DataLoader is not needed: Trainer.fit(x, y, "
        "batch_size=32)"
    ),
    "data": "data sets are in cnet.datasets",
    **_each("tensor Tensor as_tensor from_numpy", "arrays are NumPy's: pass them as they are"),
    **_each(
        "float32 float64 float double",
        'dtypes are NumPy\'s, or names: nn.Sequential(..., dtype="float64")',
    ),
    **_each(
        "no_grad inference_mode enable_grad",
        "leave it out: model(x) keeps nothing for a backward pass",
    ),
    **_each(
        "manual_seed seed set_random_seed",
        "nn.Sequential(..., seed=0) seeds weights and dropout, Trainer.fit(..., seed=0) the order",
    ),
    **_each("device cuda backends", "leave it out: cnet computes on the CPU"),
    "save": 'model.save("net.safetensors") saves a model, trainer.save_checkpoint(path) a training',
    "compile": "leave it out: a Trainer compiles the step by itself",
    "onnx": "cnet.to_onnx(model, path) writes an ONNX file",
    "autograd": "there is none: a layer has backward(grad), see docs/extending.md",
    "load_model": "use cnet.load(path)",
}

MODULE = {
    "fit": "a trainer does it: cnet.Trainer(model, loss, optimizer).fit(x, y)",
    "compile": "a trainer has the loss and the optimizer: cnet.Trainer(model, loss, optimizer)",
    "evaluate": "a trainer does it: cnet.Trainer(model, loss, optimizer).evaluate(x, y)",
    "predict": "call the model: model(x)",
    "predict_proba": (
        "call the model: model(x); nn.Softmax()(model(x)) makes probabilities of logits"
    ),
    **_each("append extend insert add pop", _AT_CONSTRUCTION),
    **_each(
        "add_module register_module",
        "assign the module to an attribute; a Sequential takes its layers at construction",
    ),
    "register_parameter": "assign an nn.Parameter to an attribute",
    "register_buffer": "assign an nn.Buffer to an attribute",
    **_each(
        "register_forward_hook register_forward_pre_hook register_full_backward_hook",
        "put a custom layer there, see docs/extending.md",
    ),
    **_each(
        "double float half bfloat16",
        'give the dtype at construction: nn.Sequential(..., dtype="float64")',
    ),
    "cuda": "leave it out: cnet computes on the CPU",
    "training": (
        "a network has no mode: model(x) is inference, model.forward(x, training=True) is training"
    ),
    **_each(
        "get_weights set_weights trainable_weights",
        "use state_dict(), load_state_dict(state) and parameters()",
    ),
    "count_params": "use sum(parameter.size for parameter in model.parameters())",
    "save_weights": "use save(path), which writes weights and architecture",
}

TRAINER = {
    "predict": "call the model: trainer.model(x)",
    "train": "use fit(x, y, epochs=...)",
    **_each("train_on_batch training_step train_step", "use step(x, y)"),
    "test": "use evaluate(x, y)",
    "validate": "use evaluate(x, y)",
    "compile": "the trainer has got its loss and optimizer at construction",
    "save": "model.save(path) saves the model, trainer.save_checkpoint(path) the training",
    "load": "cnet.load(path) reads a model, trainer.load_checkpoint(path) a training",
    "stop_training": "set trainer.stop = True",
    "parameters": "use trainer.model.parameters()",
}

TRAINER_ARGUMENTS = {
    "metrics": (
        "the accuracy is always there for losses that classify; a callback can declare others, see "
        "docs/training.md"
    ),
    "criterion": "it is called loss",
    "loss_fn": "it is called loss",
    **_each("epochs batch_size callbacks validation_data max_epochs", "pass it to fit"),
    **_each("lr learning_rate", "it is the optimizer's: optim.SGD(model.parameters(), lr=0.1)"),
}

FIT = {
    "validation_split": (
        "split the data before: data = datasets.split(x, y, validation=0.1), then fit(*data.train, "
        "validation_data=data.validation)"
    ),
    "class_weight": "give the weights to the loss: nn.CrossEntropyLoss(weight=[1.0, 5.0])",
    "initial_epoch": (
        "fit continues after the epochs of earlier calls, and after those of a checkpoint: epochs "
        "counts new ones"
    ),
    **_each(
        "validation_freq validation_steps validation_batch_size",
        "leave it out: all of validation_data is evaluated after each epoch",
    ),
    **_each(
        "workers use_multiprocessing max_queue_size",
        "leave it out, or pass an iterable that loads batches, such as PyTorch's DataLoader",
    ),
    "metrics": (
        "the accuracy is always there for losses that classify; a callback can declare others, see "
        "docs/training.md"
    ),
    **_each("lr learning_rate", "it is the optimizer's: optim.SGD(model.parameters(), lr=0.1)"),
    "max_epochs": "it is called epochs",
    "n_epochs": "it is called epochs",
    "generator": "pass it in the place of x",
}

EVALUATE = {
    "batch_size": "leave it out: the result does not depend on it",
    "verbose": "leave it out: nothing is shown",
    "return_dict": "leave it out: the result is always a dict",
    "callbacks": "callbacks are for fit",
    "steps": "pass a list of as many batches",
}

OPTIMIZER_ARGUMENTS = {
    "learning_rate": "it is called lr",
    "epsilon": "it is called eps",
    "rho": "it is called alpha",
    **_each("beta_1 beta_2", "both are betas=(beta_1, beta_2)"),
    **_each(
        "clipnorm global_clipnorm max_norm", "clip_norm limits the norm of all gradients together"
    ),
    "clipvalue": "it is called clip_value",
    "maximize": "let the loss be less where more is better",
    **_each("foreach fused capturable differentiable", "leave it out: it changes no result"),
    "tolerance_grad": "it is called tol",
    "tolerance_change": (
        "leave it out: a step ends where an iteration gains less than 2e-9 of the loss"
    ),
    "line_search_fn": "leave it out: there is a line search",
    **_each("decay lr_decay", "optim.lr_scheduler changes the learning rate"),
}

LOSS_ARGUMENTS = {
    **_each("size_average reduce", "leave it out: a loss is the mean over the batch"),
    "pos_weight": (
        "weights of single labels are not there; sample_weight weighs samples, and a loss of your "
        "own does what you like, see docs/extending.md"
    ),
    "weight": "only nn.CrossEntropyLoss has class weights; sample_weight weighs samples",
    "from_logits": (
        "nn.CrossEntropyLoss and nn.BCEWithLogitsLoss take logits, nn.NLLLoss takes probabilities"
    ),
    "zero_infinity": "leave it out: no loss is infinite",
}

LOSS_VALUE = {
    "backward": (
        "there is no graph of operations. After output = model.forward(x, training=True) and loss "
        "= criterion(output, target), call model.backward(criterion.backward()), and then "
        "optimizer.step()"
    ),
    **_each("detach cpu numpy data tolist", "use it as it is"),
}

LOSSES = {
    **_each("mse mean_squared_error squared_error", "nn.MSELoss()"),
    **_each("mae mean_absolute_error absolute_error", "nn.L1Loss()"),
    **_each(
        "categorical_crossentropy sparse_categorical_crossentropy crossentropy cross_entropy "
        "log_loss",
        "nn.CrossEntropyLoss() for logits, or nn.NLLLoss() for probabilities",
    ),
    **_each("binary_crossentropy bce", "nn.BCEWithLogitsLoss()"),
    "nll": "nn.NLLLoss()",
    "huber": "nn.HuberLoss()",
    "poisson": "nn.PoissonNLLLoss()",
}

OPTIMIZERS = {
    name.lower(): f"optim.{name}(model.parameters())"
    for name in ("Adam", "AdamW", "RMSprop", "LBFGS")
}
OPTIMIZERS["sgd"] = "optim.SGD(model.parameters(), lr=0.1)"
