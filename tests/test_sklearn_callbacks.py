"""cnet's callbacks and scikit-learn's, of estimators."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from cnet import Trainer, callbacks, nn, optim
from cnet.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = scale(load_iris().data), load_iris().target


def make(kind=MLPClassifier, **settings):
    return kind(
        **{
            "hidden_layer_sizes": 8,
            "learning_rate_init": 0.05,
            "random_state": 0,
            "max_iter": 5,
            **settings,
        }
    )


def test_callbacks_start_anew_in_each_fit_and_show_what_they_saw(tmp_path):
    seen = []
    stopping = callbacks.EarlyStopping("loss", patience=100)
    saving = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.safetensors",
        monitor="loss",
        save_best_only=True,
        save_weights_only=True,
    )
    recorder = callbacks.WeightRecorder()
    model = make(
        callbacks=[stopping, saving, recorder, lambda trainer, logs: seen.append(logs["loss"])]
    )
    for estimator in (model, model, clone(model)):
        seen.clear()
        for path in tmp_path.iterdir():
            path.unlink()
        estimator.fit(X, Y)
        assert (
            len(list(tmp_path.iterdir())) == 5
        )  # each epoch is better than those of this fit before
        assert len(seen) == 5
        _, _, own, _ = estimator.callbacks
        assert len(own.max_abs["0.weight"]) == 6
    assert stopping.best == pytest.approx(model.history_["loss"][-1])
    assert model.callbacks[0] is stopping


def test_the_best_of_a_warm_start_is_that_of_all_its_fits(tmp_path):
    saving = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.safetensors",
        monitor="loss",
        save_best_only=True,
        save_weights_only=True,
    )
    model = make(callbacks=[saving], warm_start=True, batch_size=10).fit(X, Y)
    model.set_params(learning_rate_init=5.0).fit(X, Y)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        "1",
        "2",
        "3",
        "4",
        "5",
    ]  # none of the ruinous epochs, 6 to 10


def test_a_checkpoint_of_an_estimator_is_none_for_another_optimizer(tmp_path):
    """Whose weight decay, for one, means something else."""
    path = tmp_path / "checkpoint.safetensors"
    model = make(callbacks=[callbacks.ModelCheckpoint(path)]).fit(X, Y)
    trainer = Trainer(model.model_, nn.CrossEntropyLoss(), optim.Adam(model.model_.parameters()))
    with pytest.raises(ValueError, match="EstimatorAdam"):
        trainer.load_checkpoint(path)


def test_no_callbacks_and_a_scheduler():
    make(callbacks=None).fit(X, Y)
    scheduler = optim.lr_scheduler.StepLR(optim.SGD([nn.Parameter((1,))]), 1)
    with pytest.raises(
        ValueError,
        match=r"callbacks has a StepLR, which belongs to another optimizer: .* Use learning_rate=f",
    ):
        make(callbacks=[scheduler]).fit(X, Y)


def test_an_estimator_can_be_copied_from_a_callback():
    """Also when training is still continuing."""
    copies = []
    model = make()
    model.set_params(
        callbacks=[lambda trainer, logs: copies.append(pickle.loads(pickle.dumps(trainer)))]
    ).fit(X, Y)
    np.testing.assert_array_equal(copies[-1].model(X), model.model_(X))


# scikit-learn's callbacks


class Recorder:
    """A callback of scikit-learn's: what it was told, and the scores of the networks that it was
    given.
    """

    def __init__(self, stop_after=None):
        self.told, self.scores, self.stop_after = [], [], stop_after

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name} {context.task_id}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator, metadata):
        self.told.append(f"end {context.task_name} {context.task_id}")
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        return context.task_id + 1 == self.stop_after and context.parent is not None


needs_callbacks = pytest.mark.skipif(
    not hasattr(MLPClassifier, "set_callbacks"), reason="scikit-learn has callbacks from 1.9 on"
)


@needs_callbacks
@pytest.mark.parametrize(
    ("solver", "name"), [("sgd", "epoch"), ("adam", "epoch"), ("lbfgs", "lbfgs-iter")]
)
def test_callbacks_of_scikit_learn(solver, name):
    recorder = Recorder()
    model = make(solver=solver, max_iter=3).set_callbacks(recorder).fit(X, Y)
    tasks = [f"{when} {name} {i}" for i in range(3) for when in ("begin", "end")]
    rest = (
        [f"begin {name} 3", f"end {name} 3"] if solver == "lbfgs" else []
    )  # only SciPy knows that there is no other
    assert recorder.told == ["setup", "begin fit 0", *tasks, *rest, "end fit 0", "teardown"]
    assert recorder.scores[-1] == recorder.scores[2] == model.score(X, Y)
    assert model.n_iter_ == 3
    assert not hasattr(model, "_callback_fit_ctx")
    stopped = Recorder(stop_after=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # to be stopped is no failure to converge
        assert make(solver=solver).set_callbacks(stopped).fit(X, Y).n_iter_ == 2
    assert stopped.told[-4:] == [f"begin {name} 1", f"end {name} 1", "end fit 0", "teardown"]
    np.testing.assert_array_equal(
        model.coefs_[0], make(solver=solver, max_iter=3).fit(X, Y).coefs_[0]
    )
    pickle.loads(pickle.dumps(model.set_callbacks())).predict(X)


@needs_callbacks
def test_a_monitor_of_scikit_learn_scores_each_epoch():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="accuracy")
    model = make(max_iter=3, early_stopping=True).set_callbacks(monitor)
    model.fit(X, Y)
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(epochs) == 3
    assert all(0 < row["accuracy"] <= 1 for row in epochs)


@needs_callbacks
def test_callbacks_of_scikit_learn_around_a_search(capsys):
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    from sklearn.callback import ProgressBar

    search = GridSearchCV(
        make(max_iter=3), {"alpha": [0.1, 1.0]}, cv=2, error_score="raise"
    ).set_callbacks(ProgressBar())
    search.fit(X, Y)
    assert "MLPClassifier" in capsys.readouterr().out


@needs_callbacks
def test_callbacks_of_scikit_learn_end_with_an_error():
    recorder = Recorder()
    with pytest.raises(ValueError, match="non-finite"):
        make(solver="sgd", learning_rate_init=1e300).set_callbacks(recorder).fit(X, Y)
    assert [what.rstrip("0123456789") for what in recorder.told[-3:]] == [
        "end epoch ",
        "end fit ",
        "teardown",
    ]
