"""What every message promises."""

import io

import pytest

from deeplab_tf.data.conversion.samples import SampleError
from deeplab_tf.errors import UserError


@pytest.mark.parametrize("error", [UserError, lambda text: SampleError("x", text)])
def test_a_message_is_one_line_and_the_same_each_time(error):
    stream = io.BytesIO()
    text = f"cannot identify image file {stream!r}\nin\t\udc80 <b at 0x1f>, at 0x1f"
    assert str(error(text)) == (
        r"cannot identify image file <_io.BytesIO object> in\t\udc80 <b>, at 0x1f"
    )
