"""The engines of one device, loaded as the card asks."""

import pytest

from denoisert.runtime.bundle.open import Bundle
from denoisert.runtime.components import load_components, load_tokenizers
from denoisert.runtime.engines.choice import choose
from denoisert.runtime.errors import Tampered
from denoisert.runtime.text.cache import PromptCache
from tests.runtime.bundles import compiled
from tests.runtime.networks import perceptron


def loaded(path, devices=1):
    bundle, cache = Bundle.open(path), PromptCache()
    return load_components(bundle, [choose(bundle)] * devices, 1, cache), cache


def test_a_text_model_has_everything(text_bundle):
    (one, other), cache = loaded(text_bundle, devices=2)
    assert one.has_codec
    for name in ("texts", "decoder", "encoder"):
        assert getattr(one, name) is not None
        assert getattr(one, name) is not getattr(other, name)  # nothing of an engine is shared
    assert one.denoisers[0].engine is not other.denoisers[0].engine
    assert one.texts.cache is other.texts.cache is cache


def test_a_plain_model_has_a_denoiser_and_no_codec(tmp_path):
    (one,), _ = loaded(compiled(perceptron(), tmp_path))
    assert not one.has_codec
    assert (one.texts, one.decoder, one.encoder) == (None, None, None)
    assert one.denoisers[0].engine.buckets[-1] == 16


def test_tokenizers_are_verified_before_they_are_read(text_bundle, tmp_path):
    bundle = Bundle.open(text_bundle)
    assert list(load_tokenizers(bundle)) == [text.name for text in bundle.card.texts]
    copy = tmp_path / "copy.bundle"
    for path in sorted(text_bundle.rglob("*")):
        place = copy / path.relative_to(text_bundle)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    (tokenizer,) = (copy / "tokenizers").iterdir()
    content = tokenizer.read_bytes()
    tokenizer.write_bytes(content.replace(b'"', b"'", 1))
    with pytest.raises(Tampered):
        load_tokenizers(Bundle.open(copy))
