"""Samples a second of the best-known public sampler of WaveNets, on one core, with the sizes of `vqspeech bench`.

pip install --no-deps wavenet_vocoder==0.1.1
python docs/scripts/peer.py
"""

import time

import torch
from wavenet_vocoder.wavenet import WaveNet

from vqspeech.evaluation import bench

SAMPLES = 400


def main() -> None:
    """Prints the rate."""
    sizes = {"residual_channels": 64, "gate_channels": 128, "skip_out_channels": 256, "kernel_size": 2}
    peer = WaveNet(
        out_channels=256, layers=30, stacks=3, dropout=0.0, cin_channels=192, upsample_conditional_features=False,
        weight_normalization=False, scalar_input=False, **sizes,
    ).eval()  # fmt: skip
    cond = torch.randn(1, 192, SAMPLES)

    def speak(samples: int) -> None:
        told = cond[:, :, :samples]
        peer.incremental_forward(c=told, T=samples, tqdm=lambda steps: steps, softmax=True, quantize=True)

    with bench.pinned(1), torch.inference_mode():
        speak(20)
        began = time.perf_counter()
        speak(SAMPLES)
        print(f"{SAMPLES / (time.perf_counter() - began):.0f} samples/s")


if __name__ == "__main__":
    main()
