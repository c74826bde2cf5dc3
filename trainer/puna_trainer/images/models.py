"""Models that classify images. Each takes raw bytes and gives one logit for each class.

Brightness is standardised inside, by mean and deviation of the training images, so that whoever
uses the weights cannot use other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn.functional import max_pool2d, relu
from torchvision.models import resnet18

from puna_trainer.config.model import ImageModel
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

LEAST_SIDE: Final = 8
"""Pixels that `cnn_mnist` needs each way."""
MOST_FEATURES: Final = 2**17
"""Numbers that the linear part of `cnn_mnist` takes at most: images of 94 x 94."""
RESNET_PIXEL: Final = 32
"""Pixels each way of which the last layers of `resnet18` see one."""
RGB: Final = 3


@dataclass(frozen=True, slots=True)
class Description:
    """What it takes to build a classifier."""

    name: ImageModel
    channels: int
    height: int
    width: int
    classes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as a document of JSON."""
        return asdict(self) | {"classes": list(self.classes)}


def description_of(document: Mapping[str, Any]) -> Description:
    """Return what a document describes."""
    return Description(
        name=ImageModel(document["name"]),
        channels=document["channels"],
        height=document["height"],
        width=document["width"],
        classes=tuple(document["classes"]),
    )


class Classifier(nn.Module):
    """A network behind the standardisation of brightness."""

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network = network
        self.mean_C: torch.Tensor
        self.deviation_C: torch.Tensor
        self.register_buffer("mean_C", torch.zeros(channels))
        self.register_buffer("deviation_C", torch.ones(channels))

    def standardise_by(self, images_NCHW: torch.Tensor) -> None:
        """Take mean and deviation of each channel from the training images (bytes)."""
        count = images_NCHW.numel() / images_NCHW.shape[1]
        values = torch.arange(256, dtype=torch.float64)
        for channel in range(images_NCHW.shape[1]):
            # Of bytes a histogram says it all, without a copy in floating point.
            histogram = torch.bincount(images_NCHW[:, channel].flatten(), minlength=256)
            mean = (histogram * values).sum() / count
            variance = (histogram * (values - mean) ** 2).sum() / count
            self.mean_C[channel] = mean
            self.deviation_C[channel] = variance.sqrt().clamp(min=1.0)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes) for images (N, C, H, W) of brightness 0 to 255."""
        mean = self.mean_C[:, None, None]
        logits_NK: torch.Tensor = self.network(
            (images_NCHW.float() - mean) / self.deviation_C[:, None, None]
        )
        return logits_NK


class CnnMnist(nn.Module):
    """Two convolutions and two linear layers, as in PyTorch's MNIST example without dropout."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        features = 64 * ((height - 4) // 2) * ((width - 4) // 2)
        self.conv1 = nn.Conv2d(channels, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.fc1 = nn.Linear(features, 128)
        self.fc2 = nn.Linear(128, classes)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes)."""
        x_NCHW = relu(self.conv1(x_NCHW))
        # The largest of what relu gives is what relu gives for the largest: a quarter of the work.
        x_NCHW = relu(max_pool2d(self.conv2(x_NCHW), 2))
        x_NF = relu(self.fc1(x_NCHW.flatten(1)))
        logits_NK: torch.Tensor = self.fc2(x_NF)
        return logits_NK


class Mlp(nn.Sequential):
    """Three linear layers."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(pixels, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, classes),
        )


def build(description: Description) -> Classifier:
    """Return a classifier with random weights.

    Raises:
        TrainingError: BadConfig, the images do not fit the network.
    """
    return Classifier(BUILDERS[description.name](description), description.channels)


def trained(document: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Classifier:
    """Return the classifier that a document describes, with these weights."""
    model = build(description_of(document))
    model.load_state_dict(weights)
    # Convolutions are faster so; what is not convolved stays as it is.
    return model.to(memory_format=torch.channels_last).eval()


def _cnn_mnist(wanted: Description) -> nn.Module:
    side = min(wanted.height, wanted.width)
    features = 64 * ((wanted.height - 4) // 2) * ((wanted.width - 4) // 2)
    if side < LEAST_SIDE or features > MOST_FEATURES:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"model.name: cnn_mnist is for small images, and these are {wanted.width} x "
            f"{wanted.height}; use resnet18",
        )
    return CnnMnist(wanted.channels, wanted.height, wanted.width, len(wanted.classes))


def _mlp(wanted: Description) -> nn.Module:
    return Mlp(wanted.channels * wanted.height * wanted.width, len(wanted.classes))


def _resnet18(wanted: Description) -> nn.Module:
    network: nn.Module = resnet18(num_classes=len(wanted.classes))
    if wanted.channels != RGB:
        network.conv1 = nn.Conv2d(wanted.channels, 64, 7, stride=2, padding=3, bias=False)
    return network


BUILDERS: Final[dict[ImageModel, Callable[[Description], nn.Module]]] = {
    ImageModel.CNN_MNIST: _cnn_mnist,
    ImageModel.MLP: _mlp,
    ImageModel.RESNET18: _resnet18,
}
