"""Which environment variables a child process gets: those that it may need, never all of them.

What is not named here stays behind: nobody can list the names under which other parts and other programs keep
their passwords, tokens and keys.
"""

from collections.abc import Iterable, Mapping

from common.redact import is_secret_name

SYSTEM = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "PWD", "TZ", "TERM", "COLUMNS", "LINES"),
    *("LANG", "LANGUAGE", "LC_*", "TMPDIR", "TMP", "TEMP", "XDG_*", "LD_*", "MALLOC_*", "GLIBC_TUNABLES"),
    *("PYTHON*", "VIRTUAL_ENV", "CONDA_*", "COVERAGE_*", "COV_CORE_*"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NO_COLOR", "FORCE_COLOR"),
    "DO_NOT_TRACK",
)
"""What any program may need; `*` at the end stands for anything."""

ENGINE = (
    *("VLLM_*", "HF_*", "HUGGINGFACE_*", "TRANSFORMERS_*", "TOKENIZERS_*", "SAFETENSORS_*", "TIKTOKEN_*"),
    *("CUDA_*", "CUDNN_*", "CUBLAS_*", "NVIDIA_*", "NVSHMEM_*", "NCCL_*", "UCX_*", "NIXL_*", "MC_*"),
    *("LMCACHE_*", "TORCH*", "PYTORCH_*", "TRITON_*", "FLASH*", "DG_*", "TILELANG_*", "TVM_*", "CC", "CXX"),
    *("CFLAGS", "MAX_JOBS", "ROCM_*", "ROCR_*", "HIP_*", "HSA_*", "RCCL_*", "MIOPEN_*", "AITER_*", "XLA_*"),
    *("TPU_*", "PJRT_*", "ONEAPI_*", "ZE_*", "SYCL_*", "CCL_*", "I_MPI_*", "FI_*", "OMP_*", "KMP_*"),
    *("GOMP_*", "MKL_*", "OPENBLAS_*", "NUMEXPR_*", "NUMBA_*", "DNNL_*", "ONEDNN_*", "GLOO_*", "RAY_*"),
    *("RAY_AUTH_TOKEN", "SLURM_*", "OMPI_*", "PMI_*", "PMIX_*", "MASTER_ADDR", "MASTER_PORT", "RANK"),
    *("LOCAL_RANK", "WORLD_SIZE", "PROMETHEUS_MULTIPROC_DIR", "OTEL_*"),
    # Pictures that a request names by URL are fetched through it.
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy"),
    *("no_proxy"),
)
"""What vLLM and the libraries below it read."""


def child_environment(environ: Mapping[str, str], allowed: Iterable[str]) -> dict[str, str]:
    """The variables of `environ` that `allowed` names. A pattern with `*` lets no secret's name through."""
    patterns = tuple(allowed)
    exact = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return {
        name: value
        for name, value in environ.items()
        if name in exact or (name.startswith(prefixes) and not is_secret_name(name))
    }
