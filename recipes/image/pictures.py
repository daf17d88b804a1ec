"""Pictures as levels 0 to 255: photographs that two libraries carry, CIFAR-10, or a folder of one's own."""

import hashlib
import io
import pickle
import tarfile
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vqspeech import InputError

CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN_PHOTOGRAPHS = ("astronaut", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "china")
TEST_PHOTOGRAPHS = ("chelsea", "rocket", "flower")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


class Pictures(NamedTuple):
    """`levels`: (pictures, 3, height, width); `kinds`: (pictures,), places in `names`, empty if there are none."""

    levels: NDArray[np.uint8]
    kinds: NDArray[np.int64]
    names: list[str]


def load(source: str, size: int, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Training and test pictures, size x size.

    Args:
        source: "patches", "cifar10" (downloads it), or a path: CIFAR-10's archive or folder, binary or Python, a tar or
            folder of pictures, with train/ and test/ and below them classes or not; without test/, a tenth is held out.

    Raises:
        InputError: no such thing, or no pictures in it.
    """
    if source == "patches":
        return patches(size, seed)
    path = _downloaded() if source == "cifar10" else Path(source)
    if not path.exists():
        raise InputError(f"{source}: no such folder or archive; give one, or patches, or cifar10")
    files = _files(path)
    batches = {name: data for name, data in files if name.endswith(".bin")}
    if batches:
        train, test = (_batches(batches, "data_batch"), _batches(batches, "test_batch"))
        return _scaled(train, size), _scaled(test, size)
    pickles = {name: data for name, data in files if Path(name).name.startswith(("data_batch_", "test_batch"))}
    if pickles:
        train, test = (_pickled(pickles, "data_batch"), _pickled(pickles, "test_batch"))
        return _scaled(train, size), _scaled(test, size)
    return _by_folder(path, [(name, data) for name, data in files if Path(name).suffix.lower() in SUFFIXES], size, seed)


def patches(size: int, seed: int = 0, train: int = 8000, test: int = 1000) -> tuple[Pictures, Pictures]:
    """Patches of photographs that scikit-image and scikit-learn carry; nothing of a test photograph is trained on."""
    try:
        from skimage import data
        from sklearn.datasets import load_sample_image
    except ImportError:
        raise InputError("the patches need scikit-image and scikit-learn; pip install 'vqspeech[images]'") from None
    rng = np.random.default_rng(seed)

    def crop(names: tuple[str, ...], number: int) -> Pictures:
        crops = []
        for name in names:
            photograph = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(data, name)()
            for _ in range(-(-number // len(names))):
                zoom = int(rng.integers(1, 3))  # some from farther away
                side = min(size * zoom, *photograph.shape[:2])
                top, left = (int(rng.integers(extent - side + 1)) for extent in photograph.shape[:2])
                crops.append(resized(photograph[top : top + side, left : left + side], size))
        levels = np.stack(crops)[rng.permutation(len(crops))[:number]]
        return Pictures(levels.transpose(0, 3, 1, 2).copy(), np.zeros(0, np.int64), [])

    return crop(TRAIN_PHOTOGRAPHS, train), crop(TEST_PHOTOGRAPHS, test)


def _files(path: Path) -> list[tuple[str, bytes]]:
    """Every file of a folder or tar, by its name in it."""
    if path.is_dir():
        return [(str(file.relative_to(path)), file.read_bytes()) for file in sorted(path.rglob("*")) if file.is_file()]
    try:
        with tarfile.open(path) as tar:
            members = sorted((file for file in tar if file.isfile()), key=lambda file: file.name)
            return [(file.name, tar.extractfile(file).read()) for file in members]  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path}: is no folder and no whole tar ({error}); copy it again") from None


def _batches(files: dict[str, bytes], kind: str) -> Pictures:
    """CIFAR-10's binary form: records of a class and 3 x 32 x 32 levels."""
    data = b"".join(record for name, record in sorted(files.items()) if Path(name).name.startswith(kind))
    if not data or len(data) % 3073:
        raise InputError(f"{kind}: {len(data)} bytes are no records of 3,073; copy CIFAR-10 again")
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    return Pictures(records[:, 1:].reshape(-1, 3, 32, 32).copy(), records[:, 0].astype(np.int64), CIFAR_CLASSES)


class _Arrays(pickle.Unpickler):
    """Reads numpy's arrays and what Python itself writes plainly; a pickle that names anything else runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"numpy": ("_reconstruct", "ndarray", "dtype"), "_codecs": ("encode",)}
        if name not in allowed.get(module.split(".")[0], ()):
            raise pickle.UnpicklingError(f"names {module}.{name}")
        return super().find_class(module, name)


def _pickled(files: dict[str, bytes], kind: str) -> Pictures:
    """CIFAR-10's Python form: pickled dicts of `data`, (pictures, 3072), and `labels`."""
    levels, kinds = [np.zeros((0, 3, 32, 32), np.uint8)], []
    for name, data in sorted(files.items()):
        if Path(name).name.startswith(kind):
            try:
                batch = _Arrays(io.BytesIO(data), encoding="bytes").load()
                levels.append(np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, 32, 32))
                kinds += [int(label) for label in batch[b"labels"]]
            except Exception as error:  # a broken pickle may raise anything
                raise InputError(f"{name}: is no batch of CIFAR-10 ({error}); copy it again") from None
    pictures = np.concatenate(levels)
    if len(kinds) != len(pictures) or not kinds or not 0 <= min(kinds) <= max(kinds) < len(CIFAR_CLASSES):
        raise InputError(f"{kind}: {len(pictures)} pictures, {len(kinds)} classes; copy CIFAR-10 again")
    return Pictures(pictures, np.array(kinds, np.int64), CIFAR_CLASSES)


def _by_folder(path: Path, files: list[tuple[str, bytes]], size: int, seed: int) -> tuple[Pictures, Pictures]:
    if not files:
        raise InputError(f"{path}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    parts = {"train": [entry for entry in files if "test" not in Path(entry[0]).parts[:-1]]}
    parts["test"] = [entry for entry in files if "test" in Path(entry[0]).parts[:-1]]
    if not parts["test"]:
        order = np.random.default_rng(seed).permutation(len(files))
        held_out = set(order[: max(1, len(files) // 10)].tolist())
        parts["test"] = [entry for index, entry in enumerate(files) if index in held_out]
        parts["train"] = [entry for index, entry in enumerate(files) if index not in held_out]
    if not parts["train"]:
        raise InputError(f"{path}: has {len(files)} pictures, all to test on; add some to learn from")
    names = sorted({_class(name) for name, _ in files} - {""})

    def read(entries: list[tuple[str, bytes]]) -> Pictures:
        levels = np.stack([_decoded(name, data, size) for name, data in entries]).transpose(0, 3, 1, 2).copy()
        kinds = [names.index(_class(name)) for name, _ in entries] if names else []
        return Pictures(levels, np.array(kinds, np.int64), names)

    return read(parts["train"]), read(parts["test"])


def _class(name: str) -> str:
    """The folder in which a picture lies, below train/ or test/."""
    folders = [part for part in Path(name).parts[:-1] if part not in ("train", "test", ".")]
    return folders[-1] if folders else ""


def _decoded(name: str, data: bytes, size: int) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        return resized(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), size)
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise InputError(f"{name}: is no picture that can be read ({type(error).__name__}); leave it out") from None


def resized(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The middle square of a picture, size x size."""
    from PIL import Image

    side = min(picture.shape[:2])
    top, left = ((extent - side) // 2 for extent in picture.shape[:2])
    square = picture[top : top + side, left : left + side]
    return (
        square if side == size else np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS))
    )


def _scaled(pictures: Pictures, size: int) -> Pictures:
    if size == pictures.levels.shape[-1]:
        return pictures
    levels = np.stack([resized(picture.transpose(1, 2, 0), size) for picture in pictures.levels])
    return pictures._replace(levels=levels.transpose(0, 3, 1, 2).copy())


def _downloaded(folder: Path = Path("downloads"), url: str = CIFAR_URL, md5: str = CIFAR_MD5) -> Path:
    """CIFAR-10's archive, downloaded once and checked."""
    path = folder / Path(url).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
                while block := answer.read(1 << 20):
                    file.write(block)
        except OSError as error:
            raise InputError(f"{url}: cannot be downloaded ({error}); give a local copy with --data PATH") from None
        digest = hashlib.md5(part.read_bytes(), usedforsecurity=False).hexdigest()
        if digest != md5:
            part.unlink()
            raise InputError(f"{url}: is not what it should be (MD5 {digest[:12]} instead of {md5[:12]}); try again")
        part.replace(path)
    return path


def save(levels: NDArray[np.uint8], columns: int, path: Path) -> None:
    """Writes pictures, (pictures, 3, height, width), as one, in rows of `columns`."""
    from PIL import Image

    zoom = max(1, 64 // levels.shape[-1])
    levels = levels.repeat(zoom, axis=2).repeat(zoom, axis=3)
    number, _, height, width = levels.shape
    rows = levels.reshape(number // columns, columns, 3, height, width).transpose(0, 3, 1, 4, 2)
    Image.fromarray(rows.reshape(number // columns * height, columns * width, 3)).save(path)
