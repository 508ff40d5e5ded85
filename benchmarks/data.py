"""How fast published instruction data becomes clean rows; docs/data.md quotes it.

    python benchmarks/data.py [--rows 923590] [--directory DIR]

Makes KoAlpaca-like rows of realistic Korean length (an instruction of about 40 characters, a context in a
quarter of them, an answer of about 260), among them 5% copies, 3% near-copies and 2% refusals. Then
converts, cleans and finds near-duplicates on two cores, as `kodolly data convert` and `kodolly data clean`
do, and prints for each stage seconds, rows/s and the peak memory of all processes together. The rows are
made for the benchmark; nothing in them means anything. Let nothing else run meanwhile.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROWS = 923_590
CORES = 2
COPIES, NEAR_COPIES, REFUSALS = 0.05, 0.03, 0.02
STEMS = [
    *("바다", "하늘", "나무", "도시", "학교", "시장", "음악", "여행", "건강", "날씨", "역사", "과학"),
    *("기술", "언어", "문화", "경제", "사회", "환경", "교육", "가족", "친구", "음식", "커피", "책상"),
    *("창문", "거리", "공원", "병원", "은행", "회사", "직원", "고객", "제품", "가격", "품질", "시간"),
    *("계절", "봄날", "여름", "가을", "겨울", "아침", "저녁", "주말", "휴가", "계획", "방법", "이유"),
    *("결과", "과정", "문제", "해답", "질문", "설명", "예시", "조건", "기준", "목표", "성과", "연습"),
    *("운동", "습관", "기억", "감정", "생각", "마음", "의견", "주장", "근거", "자료", "정보", "통계"),
    *("그림", "사진", "영화", "소설", "작가", "시인", "배우", "가수", "감독", "선수", "경기", "기록"),
    *("순위", "우승", "대회", "규칙", "법률", "제도", "정책", "예산"),
]
PARTICLES = ("이 가 을 를 은 는 의 에 에서 로 으로 와 과 도 만 부터 까지 보다 처럼 마다").split()  # noqa: SIM905
VERBS = [
    *("만들", "배우", "가르치", "설명하", "이해하", "연구하", "발전시키", "보여주", "선택하", "비교하"),
    *("준비하", "기다리", "시작하", "끝내", "바꾸", "늘리", "줄이", "지키", "나누", "모으", "찾아내"),
    *("알려주", "도와주", "살펴보", "정리하", "기록하", "측정하", "분석하", "계산하", "예측하"),
]
ENDINGS = ("고", "며", "지만", "는", "기", "게", "도록", "면서")


@dataclass
class Stage:
    """What was measured of one stage."""

    name: str
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    """Stage of the progress bar -> seconds."""
    cpu: float = 0.0
    """Seconds of processor time, of this process and its children."""
    peak: int = 0
    """Bytes, of this process and its children."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--directory", type=Path, help="Keep the files here.")
    chosen = options.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if chosen.directory is not None:
        chosen.directory.mkdir(parents=True, exist_ok=True)
        run(chosen.rows, chosen.directory)
        return
    with tempfile.TemporaryDirectory() as directory:
        run(chosen.rows, Path(directory))


def run(rows: int, directory: Path) -> None:
    """Make the source file where it is missing, and measure."""
    source = directory / f"koalpaca-{rows}.jsonl"
    if not source.exists():
        print(f"making {rows:,} rows ...", flush=True)
        make(source, rows)
    size = source.stat().st_size
    print(f"{rows:,} rows, {size / 1e6:,.0f} MB, {len(os.sched_getaffinity(0))} cores")
    stages = []
    for name in ("convert", "clean"):
        command = [sys.executable, __file__, "--stage", name, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        stages.append(Stage(**json.loads(done.stdout)))
        show(stages[-1], rows)
    total = sum(stage.seconds for stage in stages)
    peak = max(stage.peak for stage in stages)
    cpu = sum(stage.cpu for stage in stages)
    rate = rows / total
    print(f"{'all':<28}{total:8.1f} s {rate:>10,.0f} rows/s   {cpu:.1f} s of CPU, peak {peak / 1e6:,.0f} MB")


def show(stage: Stage, rows: int) -> None:
    for name, seconds in stage.parts.items():
        print(f"  {name:<26}{seconds:8.1f} s {rows / max(seconds, 1e-9):>10,.0f} rows/s")
    rate, memory = rows / stage.seconds, stage.peak / 1e6
    print(
        f"{stage.name:<28}{stage.seconds:8.1f} s {rate:>10,.0f} rows/s   "
        f"{stage.cpu:.1f} s of CPU, peak {memory:,.0f} MB"
    )


def measure(name: str, source: Path) -> Stage:
    """One stage in this process."""
    from finetune.progress import Progress

    stage = Stage(name)
    last = time.perf_counter()

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.perf_counter()
        stage.parts[progress.stage] = stage.parts.get(progress.stage, 0.0) + now - last
        last = now

    with watched(stage):
        if name == "convert":
            from finetune.data.convert.run import ConvertRequest, convert

            convert(ConvertRequest((source,), source.with_suffix(".rows.jsonl")), report)
        else:
            from finetune.data.clean.chunk import CleaningRules
            from finetune.data.clean.report import write_clean_report
            from finetune.data.clean.run import clean

            directory = source.with_suffix(".report")
            clean(
                [source.with_suffix(".rows.jsonl")],
                source.with_suffix(".clean.jsonl"),
                CleaningRules(),
                report=report,
                write_report=lambda made: write_clean_report(made, directory),
            )
    return stage


@contextmanager
def watched(stage: Stage) -> Iterator[None]:
    """Fill in the seconds that the block takes and the memory at its height."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            stage.peak = max(stage.peak, memory(os.getpid()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    begun = time.perf_counter()
    yield
    stage.seconds = time.perf_counter() - begun
    stage.cpu = sum(os.times()[:4])
    stop.set()
    watcher.join()


def memory(process: int) -> int:
    """Resident bytes of a process and all below it; shared pages count for each."""
    total = 0
    try:
        total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                total += memory(int(child))
    except OSError:
        pass  # it has ended meanwhile
    return total


def make(path: Path, rows: int) -> None:
    """Write the source file, the same at every run."""
    draw = random.Random(20_240)
    write: Callable[[dict[str, str]], str] = json.JSONEncoder(ensure_ascii=False).encode
    recent: list[dict[str, str]] = []
    vocabulary = words(draw)
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        for number in range(rows):
            kind = draw.random()
            if recent and kind < COPIES:
                row = draw.choice(recent)
            elif recent and kind < COPIES + NEAR_COPIES:
                row = nearly(draw.choice(recent), draw)
            else:
                row = fresh(number, draw, vocabulary)
                if kind > 1 - REFUSALS:
                    row["output"] = "죄송하지만 저는 그 요청에 답변드릴 수 없습니다."
                if number % 50 == 0:
                    recent = [*recent[-200:], row]
            file.write(write(row) + "\n")
    part.replace(path)


def fresh(number: int, draw: random.Random, vocabulary: list[str]) -> dict[str, str]:
    def text(letters: float, spread: float) -> str:
        count = max(3, int(draw.lognormvariate(letters, spread)))
        said = " ".join(draw.choices(vocabulary, k=count))
        return said + "."

    return {
        "instruction": f"{text(1.5, 0.4)} {number % 1000}번에 대해 알려 주세요.",
        "input": text(3.1, 0.5) if number % 4 == 0 else "",
        "output": text(3.75, 0.6),
    }


def nearly(row: dict[str, str], draw: random.Random) -> dict[str, str]:
    """The same row with one word of its answer changed."""
    said = row["output"].split()
    said[draw.randrange(len(said))] = draw.choice(STEMS)
    return row | {"output": " ".join(said)}


def words(draw: random.Random) -> list[str]:
    nouns = [stem + particle for stem in STEMS for particle in PARTICLES]
    joined = [a + b + p for a in STEMS for b in draw.sample(STEMS, 10) for p in draw.sample(PARTICLES, 2)]
    verbs = [verb + ending for verb in VERBS for ending in ENDINGS]
    return nouns + joined + verbs


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        print(json.dumps(vars(measure(sys.argv[2], Path(sys.argv[3])))))
    else:
        main()
