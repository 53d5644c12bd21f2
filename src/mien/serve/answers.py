"""The shapes of requests and answers, as /openapi.json describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

DETECT = "Whether faces are looked for; false: each picture is one already. If not given, as /v1/model says."


class Predict(BaseModel):
    """POST /v1/predict as JSON."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[str] = Field(description="Picture files in base64, or as data URLs.")
    detect: bool | None = Field(default=None, description=DETECT)


class Health(BaseModel):
    status: str = "ok"
    mien: str = Field(description="Version of mien.")
    device: str = Field(description="What computes the network: cpu, cuda ...")


class Ready(BaseModel):
    status: str = "ready"


class Sets(BaseModel):
    """What makes the set of classes that an answer leaves open."""

    coverage: float = Field(description="The share of pictures, like those of validation, whose set holds the truth.")
    least: dict[str, float] = Field(description="For each class the probability from which on it is in a set.")


class ServedModel(BaseModel):
    """GET /v1/model."""

    fingerprint: str = Field(description="sha256 of the network; every answer carries it.")
    labels: list[str]
    detect: bool = Field(description="Whether faces are looked for where a request does not say; else whole pictures.")
    unsure_below: float = Field(description="A confidence below it is answered as 'unsure'; above 1, every one.")
    prediction_sets: Sets | None = Field(description="What makes the prediction sets; null where the model has none.")
    card: dict[str, Any] = Field(description="Where the model comes from and how well it does.")
    limits: dict[str, float] = Field(description="Bytes, pixels, images and seconds of one request.")


class FaceAnswer(BaseModel):
    box: tuple[int, int, int, int] = Field(description="x, y, width, height in pixels of the upright picture.")
    label: str = Field(description="The most probable class, or 'unsure'.")
    most_probable: str
    confidence: float = Field(description="Probability of the most probable class, calibrated.")
    probabilities: dict[str, float]
    prediction_set: list[str] = Field(
        description="The classes that are left open, the most probable first; empty where the model has no such sets."
    )
    outlier: bool | None = Field(
        description="Whether the face is unlike all that the model learned from; null where it cannot tell."
    )


class PictureAnswer(BaseModel):
    """Faces and size of one picture, or why it cannot be read."""

    faces: list[FaceAnswer] | None = Field(default=None, description="Largest first.")
    width: int | None = Field(default=None, description="Of the upright picture, pixels.")
    height: int | None = None
    error: str | None = None


class Answer(BaseModel):
    """Of POST /v1/predict; images are in the request's order."""

    model: str = Field(description="The network's fingerprint.")
    milliseconds: float = Field(description="From the whole request to the answer.")
    images: list[PictureAnswer]


class Error(BaseModel):
    error: str = Field(description="What is wrong, and what to do.")
