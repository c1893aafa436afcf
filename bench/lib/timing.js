// Round-robin timing: each round runs every candidate once, so that whatever else loads the machine hits all alike.

/** The value below which a share of sorted numbers lies, interpolated. */
export function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

export function summary(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const round = (value) => Number(value.toPrecision(4));
  return {
    median: round(quantile(sorted, 0.5)),
    lower: round(quantile(sorted, 0.25)),
    upper: round(quantile(sorted, 0.75)),
    min: round(sorted[0]),
    rounds: sorted.length,
  };
}

/** Processor time of all threads so far, in milliseconds: on a software adapter, work that others' load does not touch. */
function processorTime() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * Milliseconds of every candidate's `run`, and of the processor. A candidate whose warm-up takes longer than `patience` takes part in three
 * rounds only, and beyond three times that in one.
 */
export async function roundRobin(candidates, { rounds = 7, warmUps = 1, patience = 1000 } = {}) {
  const times = new Map(candidates.map((candidate) => [candidate, { wall: [], processor: [] }]));
  const most = new Map();
  for (let round = -warmUps; round < rounds; round++)
    for (const candidate of candidates) {
      if (round >= (most.get(candidate) ?? rounds)) continue;
      const [start, before] = [performance.now(), processorTime()];
      await candidate.run();
      const time = performance.now() - start;
      if (round >= 0) {
        times.get(candidate).wall.push(time);
        times.get(candidate).processor.push(processorTime() - before);
      } else if (time > patience) most.set(candidate, time > 3 * patience ? 1 : 3);
    }
  return new Map(
    [...times].map(([candidate, { wall, processor }]) => [
      candidate,
      { ...summary(wall), processor: summary(processor).median },
    ]),
  );
}
