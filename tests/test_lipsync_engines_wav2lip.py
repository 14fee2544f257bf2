"""Wav2Lip with random weights, saved as the public checkpoints are and loaded by the real loader."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from driven_scene import SPEAKS_MS, DrivenScene, make_scene
from scipy.signal import ShortTimeFFT, stft
from scipy.signal.windows import hann

from stages.devices import DeviceConfig
from stages.errors import InputError, MissingEngineError
from stages.evaluate.picture import outside_mask
from stages.lipsync import LipsyncConfig, Wav2LipConfig

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save_file  # noqa: E402

from stages.lipsync.generated import FaceJob  # noqa: E402
from stages.lipsync.wav2lip.checkpoint import load  # noqa: E402
from stages.lipsync.wav2lip.engine import Wav2LipEngine  # noqa: E402
from stages.lipsync.wav2lip.mel import FRAMES, heard_at, mel_spectrogram  # noqa: E402
from stages.lipsync.wav2lip.network import Wav2Lip  # noqa: E402

# Of the public checkpoints: how many parts there are, and the shapes of some of them.
PARTS, PARAMETERS = 352, 36_298_035
SHAPES = {
    "face_encoder_blocks.0.0.conv_block.0.weight": (16, 6, 7, 7),
    "face_encoder_blocks.2.3.conv_block.1.running_var": (64,),
    "face_encoder_blocks.6.1.conv_block.0.weight": (512, 512, 1, 1),
    "audio_encoder.0.conv_block.0.weight": (32, 1, 3, 3),
    "audio_encoder.12.conv_block.0.weight": (512, 512, 1, 1),
    "face_decoder_blocks.1.0.conv_block.0.weight": (1024, 512, 3, 3),
    "face_decoder_blocks.3.0.conv_block.0.weight": (768, 384, 3, 3),
    "face_decoder_blocks.6.2.conv_block.1.num_batches_tracked": (),
    "output_block.0.conv_block.0.weight": (32, 80, 3, 3),
    "output_block.1.weight": (3, 32, 1, 1),
}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Random ones, which show different things for different faces and sounds."""
    torch.manual_seed(0)
    network = Wav2Lip()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.05)
            module.running_var.uniform_(0.02, 0.06)
    torch.nn.init.normal_(network.output_block[1].weight, 0, 1.0)
    return network.state_dict()


@pytest.fixture(scope="module")
def model(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wav2lip")
    named = {f"module.{name}": value for name, value in weights.items()}
    optimizer = {"state": {0: {"step": 1}}, "param_groups": [{"lr": 1e-4}]}
    torch.save(
        {"state_dict": named, "optimizer": optimizer, "global_step": 7, "global_epoch": 1}, folder / "wav2lip_gan.pth"
    )
    return folder


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DrivenScene:
    return make_scene(tmp_path_factory.mktemp("scene"))


def config(model: Path | str, **settings: object) -> LipsyncConfig:
    return LipsyncConfig(engine="wav2lip", wav2lip=Wav2LipConfig(model=str(model), **settings))


def faces(count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Mel and crops."""
    random = np.random.default_rng(0)
    return random.uniform(-4, 4, (count, 80, 16)).astype(np.float32), random.integers(
        0, 256, (count, 96, 96, 3), dtype=np.uint8
    )


def test_parts_are_named_and_shaped_like_those_of_the_public_checkpoints(weights: dict[str, torch.Tensor]) -> None:
    assert len(weights) == PARTS
    assert {name: tuple(weights[name].shape) for name in SHAPES} == SHAPES
    assert sum(value.numel() for value in Wav2Lip().parameters()) == PARAMETERS


def test_the_loader_gives_the_weights_that_were_saved(model: Path, weights: dict[str, torch.Tensor]) -> None:
    plain = Wav2Lip()
    plain.load_state_dict(weights)
    plain.eval()
    mel, crops = torch.rand(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    with torch.inference_mode():
        wanted, got = plain(mel, crops), load(model)(mel, crops)
    assert wanted.shape == (2, 3, 96, 96) and wanted.std() > 0.05
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_the_lower_half_is_seen_in_the_second_face_only(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    forward = Wav2Lip.forward
    monkeypatch.setattr(Wav2Lip, "forward", lambda self, mel, face: given.append(face) or forward(self, mel, face))
    mel, crops = faces()
    made = Wav2LipEngine(Wav2LipConfig(model=str(model))).made(mel, crops)
    assert made.shape == crops.shape and made.dtype == np.uint8
    (face,) = given
    assert (face[:, :3, 48:] == 0).all()
    torch.testing.assert_close(face[:, 3:], torch.from_numpy(crops).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(face[:, :3, :48], face[:, 3:, :48])


def test_both_sound_and_face_count(model: Path) -> None:
    engine = Wav2LipEngine(Wav2LipConfig(model=str(model)))
    mel, crops = faces()
    first = engine.made(mel, crops)
    np.testing.assert_array_equal(first, engine.made(mel, crops))
    assert (first != engine.made(-mel, crops)).any() and (first != engine.made(mel, 255 - crops)).any()


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_less_precision_is_about_the_same(model: Path, precision: str) -> None:
    mel, crops = faces(1)
    exact, rough = (
        Wav2LipEngine(Wav2LipConfig(model=str(model), device=DeviceConfig(precision=each))).made(mel, crops).astype(int)
        for each in ("float32", precision)
    )
    assert 0 < np.abs(exact - rough).mean() < 8


def test_the_speaker_is_driven_and_nothing_else(scene: DrivenScene, model: Path, tmp_path: Path) -> None:
    settings = config(model, batch_frames=5)
    times_ms = np.load(scene.media.file(scene.media.frame_times))
    digests = []
    for _ in range(2):
        digest = hashlib.sha256()
        for index, source, drawn, patches in scene.drawn(settings):
            digest.update(drawn.tobytes())
            assert outside_mask(drawn, source, patches) == 0
            speaks = SPEAKS_MS[0] <= times_ms[index] < SPEAKS_MS[1]
            assert not speaks or (set(patches) == {scene.face} and (drawn != source).any())
        digests.append(digest.hexdigest())
    assert digests[0] == digests[1]
    made = scene.sync(settings, tmp_path)
    assert made.changed_frames >= 12 and made.closures[0].expected == 2


def test_weights_as_safetensors(weights: dict[str, torch.Tensor], model: Path, tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "wav2lip.safetensors")
    mel, crops = faces(1)
    one, other = (Wav2LipEngine(Wav2LipConfig(model=str(folder))).made(mel, crops) for folder in (tmp_path, model))
    np.testing.assert_array_equal(one, other)


def test_weights_in_the_older_form(weights: dict[str, torch.Tensor], model: Path, tmp_path: Path) -> None:
    """PyTorch before 1.6, with which the public ones were saved, wrote no archive."""
    torch.save({"state_dict": weights}, tmp_path / "wav2lip.pth", _use_new_zipfile_serialization=False)
    mel, crops = faces(1)
    one, other = (Wav2LipEngine(Wav2LipConfig(model=str(folder))).made(mel, crops) for folder in (tmp_path, model))
    np.testing.assert_array_equal(one, other)


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def refused(folder: Path, said: str) -> None:
    with pytest.raises(MissingEngineError, match=said) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_pickles_are_not_run(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    for number, write in enumerate(
        (
            lambda file: torch.save({"state_dict": weights, "more": Harm(harm)}, file),
            lambda file: file.write_bytes(pickle.dumps({"state_dict": Harm(harm)})),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder / "wav2lip.pth")
        refused(folder, "holds more than weights, which could run code, so it is not read")
    assert not harm.exists()


def test_a_script_is_not_run(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "wav2lip.pth"))
    refused(tmp_path, r"wav2lip\.pth is a TorchScript program, not weights alone, so it is not read")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_checkpoints(model: Path, tmp_path: Path, share: float) -> None:
    whole = (model / "wav2lip_gan.pth").read_bytes()
    (tmp_path / "wav2lip.pth").write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path, r"wav2lip\.pth (cannot be read|is damaged)")


def test_truncated_safetensors(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / "wav2lip.safetensors"
    save_file({name: value.contiguous() for name, value in weights.items()}, file)
    file.write_bytes(file.read_bytes()[:-100])
    refused(tmp_path, r"wav2lip\.safetensors cannot be read .* fetch it again")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_block.1.bias": None}, r"it lacks output_block\.1\.bias"),
        ({"disc.weight": torch.zeros(1)}, r"it has another part, disc\.weight"),
        ({"output_block.1.bias": torch.zeros(4)}, r"output_block\.1\.bias is \(4,\), not \(3,\)"),
        ({"output_block.1.bias": torch.full((3,), torch.nan)}, r"output_block\.1\.bias holds numbers that are not"),
    ],
)
def test_weights_of_something_else(
    weights: dict[str, torch.Tensor], tmp_path: Path, change: dict[str, torch.Tensor | None], said: str
) -> None:
    other = {name: value for name, value in (weights | change).items() if value is not None}
    torch.save({"state_dict": other}, tmp_path / "wav2lip.pth")
    refused(tmp_path, said)


def test_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "wav2lip.pth")
    refused(tmp_path, "it holds no state_dict")


def test_the_folder_must_hold_one_checkpoint(model: Path, tmp_path: Path) -> None:
    refused(tmp_path, "holds 0 checkpoints")
    for name in "ab":
        (tmp_path / f"{name}.pth").touch()
    refused(tmp_path, "holds 2 checkpoints")
    with pytest.raises(InputError, match="there is no model 'nowhere'"):
        Wav2LipEngine(Wav2LipConfig(model="nowhere"))
    if not torch.cuda.is_available():
        with pytest.raises(MissingEngineError, match=r"lipsync\.wav2lip\.device\.kind is cuda, and torch"):
            Wav2LipEngine(Wav2LipConfig(model=str(model), device=DeviceConfig(kind="cuda")))


def job(frames: int) -> FaceJob:
    _, crops = faces(frames)
    still = np.arange(frames)
    voice = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    maps = np.tile(np.eye(2, 3), (frames, 1, 1))
    return FaceJob(crops, maps, still, still * 40.0, ((0, frames - 1),), voice, np.zeros_like(crops))


def generated(model: Path, frames: int, batch_frames: int) -> tuple[np.ndarray, list[float]]:
    made, told = job(frames), []
    engine = Wav2LipEngine(Wav2LipConfig(model=str(model), batch_frames=batch_frames))
    engine.generate({0: made}, 25.0, Path(), told.append)
    return made.patches, told


def short_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let the network really ask for more than any machine has where it is given more than so many frames."""
    sizes: list[int] = []
    forward = Wav2Lip.forward

    def greedy(self: Wav2Lip, mel: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
        sizes.append(len(face))
        if len(face) > most:
            torch.empty(1 << 60)
        return forward(self, mel, face)

    monkeypatch.setattr(Wav2Lip, "forward", greedy)
    return sizes


def test_frames_that_do_not_fit_are_made_in_smaller_batches(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, _ = generated(model, 7, 2)
    sizes = short_memory(monkeypatch, most=2)
    patches, told = generated(model, 7, 8)
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert told == sorted(told) and told[-1] == 1.0
    assert np.abs(patches.astype(int) - wanted).max() <= 1  # sums in another order


def test_one_frame_that_does_not_fit_is_one_clear_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_memory(monkeypatch, most=0)
    with pytest.raises(MissingEngineError, match=r"^lipsync\.wav2lip: the memory does not suffice even for one"):
        generated(model, 3, 8)


def test_a_network_that_does_not_fit_is_one_clear_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Wav2Lip, "to", too_large)
    with pytest.raises(MissingEngineError, match=r"^lipsync\.wav2lip: the memory does not suffice; choose"):
        Wav2LipEngine(Wav2LipConfig(model=str(model)))


def slaney_mel(hz: float) -> float:
    """Slaney's scale as librosa documents it: linear below 1 kHz, then 27 steps for a factor of 6.4."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def test_mel_is_that_of_the_public_code() -> None:
    """Against scipy's own short-time transform and bands that are computed one by one."""
    random = np.random.default_rng(0)
    voice = random.normal(0, 0.1, 16_000) * np.linspace(0, 1, 16_000) ** 2
    emphasised = voice - 0.97 * np.concatenate([[0], voice[:-1]])
    transform = ShortTimeFFT(hann(800, sym=False), 200, 16_000, fft_mode="onesided", phase_shift=None)
    spectrum = np.abs(transform.stft(emphasised, p0=0, p1=81))
    frequencies, _, same = stft(
        emphasised, 16_000, hann(800, sym=False), 800, 600, boundary="zeros", padded=False, scaling="spectrum"
    )
    np.testing.assert_allclose(np.abs(same)[:, 5:70] * hann(800, sym=False).sum(), spectrum[:, 5:70], rtol=1e-6)
    grid = np.linspace(0, slaney_mel(7600) + 1, 200_001)
    hz_of = np.where(grid < 15, grid * 200 / 3, 1000 * 6.4 ** ((grid - 15) / 27))
    edges = np.interp(np.linspace(slaney_mel(55), slaney_mel(7600), 82), grid, hz_of)
    expected = np.empty((80, 81))
    for band in range(80):
        low, middle, high = edges[band : band + 3]
        weight = np.interp(frequencies, [low, middle, high], [0, 2 / (high - low), 0])
        level_db = 20 * np.log10(np.maximum(1e-5, weight @ spectrum)) - 20
        expected[band] = np.clip(8 * (level_db + 100) / 100 - 4, -4, 4)
    mel = mel_spectrogram(voice.astype(np.float32))
    assert mel.shape == (80, 81) and mel.min() == -4 and mel.max() > 0
    np.testing.assert_allclose(mel, expected, atol=2e-3)


def test_silence_is_the_lowest_value() -> None:
    assert (mel_spectrogram(np.zeros(3200, dtype=np.float32)) == -4).all()


def test_every_picture_hears_what_is_said_around_it() -> None:
    mel = np.tile(np.arange(160, dtype=np.float32), (80, 1))  # 2 s; a value is a time of 12.5 ms
    heard = heard_at(mel, np.array([0.0, 1000.0, 1033.4, 1990.0]))
    assert heard.shape == (4, 80, FRAMES)
    np.testing.assert_array_equal(heard[1, 0], np.arange(77, 93))  # from 40 ms before it
    np.testing.assert_array_equal(heard[2, 0], np.arange(79, 95))
    np.testing.assert_array_equal(heard[0, 0], [-4, -4, -4, *range(13)])
    np.testing.assert_array_equal(heard[3, 0], [156, 157, 158, 159, *[-4] * 12])


def test_torch_is_imported_by_the_engine_only() -> None:
    code = "import sys, flows.cli, stages.lipsync.render, stages.lipsync.external; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
