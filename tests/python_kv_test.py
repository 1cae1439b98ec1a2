"""Keys and values from Python: coded, restored, with and without a profile.

    PYTHONPATH=build/release/python python3 tests/python_kv_test.py
"""

import functools
import os
import tempfile
import unittest

import numpy as np

import pith
from python_testing import Case, same_bits


def cache(seed, tokens=64):
    """All heads see the same eight numbers of a token."""
    random = np.random.default_rng(seed)
    axes = np.random.default_rng(99).normal(size=(2, 3, 2, 8, 16))
    token = random.normal(size=(tokens, 8))
    noise = random.normal(size=(2, 3, 2, tokens, 16)) * 0.05
    return tuple((np.einsum("tk,lhkc->lhtc", token, a) + n).astype(np.float32) for a, n in zip(axes, noise))


def error(a, b):
    return float(np.square(a - b, dtype=np.float64).mean() / np.square(a, dtype=np.float64).mean())


class KeysAndValues(Case):
    def test_codings_come_back_near(self):
        keys, values = cache(1)
        for coding, most in (("stream(level=0)", 0.002), ("stream(bits=4, rope=kept)", 0.02),
                             ("uniform(8, group=32)", 0.001), ("dense(f32)", 0)):
            data = pith.kv_compress(keys, values, coding, first=5)
            back = pith.kv_restore(data)
            for a, b in zip((keys, values), back):
                self.assertEqual((b.shape, b.dtype), (a.shape, np.float32))
                self.assertLessEqual(error(a, b), most)
        self.assertEqual(data, pith.kv_compress(keys.astype(np.float64), values, "dense(f32)", first=5, threads=2))
        self.assertTrue(same_bits(back[0], keys))

    def test_bits_are_kept_to(self):
        keys, values = cache(2)
        data = pith.kv_compress(keys, values, "stream(bits=3)")
        self.assertLessEqual(8 * len(data), 3 * 2 * keys.size)

    def test_a_profile_makes_less_of_it(self):
        keys, values = cache(3)
        profile = pith.kv_profile([cache(s) for s in range(4, 8)], base=1.0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.profile")
            with open(path, "wb") as f:
                f.write(profile)
            data = pith.kv_compress(keys, values, f'stream(profile="{path}", bits=2)')
        plain = pith.kv_restore(pith.kv_compress(keys, values, "stream(bits=2)"))
        back = pith.kv_restore(data, profile=profile)
        self.assertLess(error(values, back[1]), 0.2 * error(values, plain[1]))
        with self.assertRaisesRegex(pith.UsageError, "profile"):
            pith.kv_restore(data)
        with self.assertRaises(pith.DataError):
            pith.kv_restore(data, profile=profile[:-1])

    def test_the_base_is_what_the_documentation_says(self):
        keys, values = cache(8)
        coded = functools.partial(pith.kv_compress, keys, values, first=3)
        plain = coded("stream(level=4)")
        self.assertEqual(plain, coded("stream(level=4)", base=10000))
        self.assertEqual(plain, coded("stream(level=4, base=10000, neighbours=false)"))
        other = coded("stream(level=4)", base=500, neighbours=True)
        self.assertEqual(other, coded("stream(level=4, base=500, neighbours=true)"))
        self.assertNotEqual(plain, other)
        self.assertEqual(pith.kv_profile([(keys, values)]), pith.kv_profile([(keys, values)], base=10000.0, neighbours=False))
        self.assertNotEqual(pith.kv_profile([(keys, values)]), pith.kv_profile([(keys, values)], base=500))
        for wrong in ({"coding": "stream(base=500)", "base": 10000}, {"coding": "stream(level=4)", "base": 0.5}):
            with self.assertRaisesRegex(pith.UsageError, "base"):
                coded(**wrong)
        with self.assertRaises(ValueError):
            coded("stream(level=4)", neighbours=True)

    def test_keys_of_another_base_lose_less_with_it(self):
        keys, values = cache(9, tokens=256)
        keys = 3 + 0.1 * keys  # alike, then turned by half a head apart
        turned = np.arange(256)[:, None] * 500.0 ** (-np.arange(8) / 8)
        a, b, c, s = keys[..., :8], keys[..., 8:], np.cos(turned), np.sin(turned)
        keys = np.concatenate([a * c - b * s, b * c + a * s], axis=-1)
        lost = [error(keys, pith.kv_restore(pith.kv_compress(keys, values, "stream(bits=3)", base=base))[0])
                for base in (500, 10000)]
        self.assertLess(4 * lost[0], lost[1])

    def test_what_cannot_be_is_refused(self):
        keys, values = cache(1, tokens=9)
        with self.assertRaises(ValueError):
            pith.kv_compress(keys, values[:1], "stream(level=1)")
        with self.assertRaises(ValueError):
            pith.kv_compress(keys[0], values[0], "stream(level=1)")
        with self.assertRaisesRegex(pith.UsageError, "level"):
            pith.kv_compress(keys, values, "stream(level=99)")
        with self.assertRaisesRegex(pith.UsageError, "joined"):
            pith.kv_profile([(keys, values)], joined="none")
        keys[0, 0, 0, 0] = np.nan
        with self.assertRaises(pith.DataError):
            pith.kv_compress(keys, values, "stream(level=1)")
        data = pith.kv_compress(*cache(1, tokens=9), "stream(level=1)")
        for n in range(0, len(data), 50):
            with self.assertRaises(pith.Error):
                pith.kv_restore(data[:n])


if __name__ == "__main__":
    unittest.main()
