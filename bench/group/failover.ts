/**
 * How long a group has no leader after `kill -9`: from the kill until another member answers LEADER (its no-op applied).
 *
 *   npm run bench:failover -- [--kills 20] [--flush SYNC_FLUSH]
 *
 * The last line is one JSON object: `{"kills":20,"medianMs":…,"p99Ms":…,"maxMs":…}`.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { flushOption, measurement, wholeNumber } from '../options.ts'
import { LaptopGroup } from './laptop-group.ts'

const LEADER_WITHIN_MS = 30_000

const { kills, flush } = measurement('bench:failover', 'How long a group has no leader after kill -9.')
  .addOption(wholeNumber('--kills <count>', 'how many leaders are killed, one after the other', 20))
  .addOption(flushOption())
  .parse()
  .opts<{ kills: number; flush: string }>()
const group = new LaptopGroup(join(mkdtempSync(join(tmpdir(), 'bench-failover-')), 'group'))
const times: number[] = []
try {
  group.run('start', '--fresh', '--flush', flush)
  for (let round = 1; round <= kills; round++) {
    const { leader, brokers } = group.status()
    const victim = brokers.findIndex((broker) => broker.id === leader)
    const pid = brokers[victim]?.pid
    if (leader === null || pid === null || pid === undefined) throw new Error('no leader to kill')
    const others = [0, 1, 2].filter((i) => i !== victim)
    const killedAt = performance.now()
    process.kill(pid, 'SIGKILL')
    for (;;) {
      const roles = await Promise.all(others.map((i) => group.roleOf(i)))
      if (roles.includes('LEADER')) break
      if (performance.now() - killedAt > LEADER_WITHIN_MS) throw new Error('no new leader')
    }
    const tookMs = performance.now() - killedAt
    times.push(tookMs)
    console.log(`kill ${round}: ${leader}, a new leader after ${tookMs.toFixed(0)} ms`)
    group.run('restart', leader)
  }
} finally {
  group.run('stop', '--clean')
}
times.sort((a, b) => a - b)
const median = times[Math.floor(times.length / 2)] ?? Number.NaN
// The nearest rank: of 50 kills the slowest one.
const p99 = times[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN
console.log(
  JSON.stringify({
    kills,
    medianMs: Math.round(median),
    p99Ms: Math.round(p99),
    maxMs: Math.round(times.at(-1) ?? Number.NaN),
  }),
)
