"""Replay."""
import argparse
import asyncio
import collections
import time
from contextlib import AsyncExitStack
from differential.generator import sequence
from differential.run import run
from differential.servers import make_namespace, real

async def main(first, last, length, lanes):
    async with AsyncExitStack() as stack:
        left, right = await asyncio.gather(stack.enter_async_context(real()), stack.enter_async_context(real("second")))
        seeds = iter(range(first, last))
        count = 0
        start = time.time()
        async def lane():
            nonlocal count
            for seed in seeds:
                ns = f"seed-{seed}"
                for side in (left, right):
                    await make_namespace(side.transport, ns)
                steps = sequence(seed, length, ns)
                finding = await run(steps, left, right)
                count += length
                if finding:
                    print(f"== seed {seed}\n{finding.step}")
                    for d in finding.differences[:5]:
                        print("   ", d)
        await asyncio.gather(*(lane() for _ in range(lanes)))
        print(count, "requests", time.time() - start, "s")

p = argparse.ArgumentParser()
p.add_argument("first", type=int); p.add_argument("last", type=int); p.add_argument("--length", type=int, default=100); p.add_argument("--lanes", type=int, default=6)
a = p.parse_args()
asyncio.run(main(a.first, a.last, a.length, a.lanes))
