"""Errors of the train package; one line each says what was found and what to do."""

from runtime.errors import RetinexError


class TrainError(RetinexError):
    """Base of all errors that training and the networks raise on purpose."""


class UnknownNetworkError(TrainError):
    """The registry holds no network of that name."""


class WeightsError(TrainError):
    """A weights file is missing, damaged or belongs to another network."""


class DataError(TrainError):
    """A data folder or file is missing, empty, unequal or corrupt."""


class RecipeError(TrainError):
    """A recipe names an unknown key or holds a value of the wrong kind."""
