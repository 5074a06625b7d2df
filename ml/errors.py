"""The project's exceptions.

::

    SoundalikeError              anything that a user can mend; its message says how
    ├── CatalogError             the manifest or the catalogue as a whole
    ├── AudioError               one file; carries a reason code
    ├── EncoderError             a saved encoder that must not be used
    ├── TrainingError            a training run that cannot go on
    ├── EvaluationError          scores that would mean nothing
    ├── RegistryError            the model registry does not hold what was asked for
    └── DatabaseError            the database does not answer, or refuses
"""


class SoundalikeError(Exception):
    """Something that a user can mend: the message is one sentence that says what to do."""


class CatalogError(SoundalikeError):
    """The manifest, or the catalogue as a whole, cannot be used."""


class AudioError(SoundalikeError):
    """One audio file cannot be used.

    Parameters
    ----------
    reason : str
        Code of the rejection, such as ``"undecodable"`` or ``"too_short"``.
    message : str
        One sentence that says what to do.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)  # both, so that it survives pickling between processes
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class EncoderError(SoundalikeError):
    """A saved encoder is damaged, foreign, or of another kind than expected."""


class TrainingError(SoundalikeError):
    """A training run cannot start or cannot go on."""


class EvaluationError(SoundalikeError):
    """An evaluation would produce scores that mean nothing."""


class RegistryError(SoundalikeError):
    """The model registry does not hold what was asked for."""


class StudyError(SoundalikeError):
    """A listening study cannot begin, or go on, as asked."""


class DatabaseError(SoundalikeError):
    """The database does not answer, or refuses what was asked."""
