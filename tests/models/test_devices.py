import pytest
import torch

from models.devices import check_device_name, resolve_device
from schemas.errors import UsageError


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_names_of_devices(name):
    check_device_name(name)


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "mps", "auto:1"])
def test_what_is_no_name_of_a_device(name):
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:i"):
        check_device_name(name)
    with pytest.raises(UsageError, match="device: got"):
        resolve_device(name)


def test_auto_is_cuda_where_there_is_one_and_nothing_is_replaced_silently():
    available = torch.cuda.is_available()
    assert resolve_device("auto").type == ("cuda" if available else "cpu")
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    with pytest.raises(UsageError, match=r"got cuda:99, but this machine has \d+ CUDA devices"):
        resolve_device("cuda:99")
