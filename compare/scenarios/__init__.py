"""The one collection of functions that laws, self-test, benchmarks and tests try things on.

`functions`: small ones over the array API, for every law; `models`: gradparity's own; `networks`
and `layers`: what users write, the latter also in low precision; `awkward`: points where
derivatives do not exist or are hard; `array_uses`: each function of the array API; `slopes` and
`held_out_slopes`: slopes that are known exactly; `random_programs`: new functions for every seed.
"""

if __name__ != "gradparity.compare.scenarios":
    raise ImportError(
        f"{__name__!r} is gradparity.compare.scenarios imported a second time under another name; "
        "run 'pytest', not 'python -m pytest', and import gradparity.compare.scenarios"
    )
