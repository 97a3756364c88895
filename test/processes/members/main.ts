/**
 * `npm run test:processes -- [--minutes 10] [--seed N] [--flush SYNC_FLUSH|ASYNC_FLUSH] [--blow NAME]… [--network namespaces]`: groups
 * of real processes, a new one for every twenty blows drawn at random (or `--rounds`). Exit status 1 on any violation; the seed is
 * printed. With namespaces the network itself is cut; where there are none, that is said, and nothing is run.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { seededRandom } from '@dledger-ts/base'
import { BLOWS, type BlowName, POWER_CUTS, WIRE_CUTS } from './blows.ts'
import { runInside, whyNoNamespaces } from './namespaces.ts'
import { type Round, runRounds, summary } from './rounds.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    flush: { type: 'string', default: 'SYNC_FLUSH' },
    blow: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '20' },
    network: { type: 'string', default: 'proxies' },
    inside: { type: 'boolean', default: false },
  },
})
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: allowed is a number above 0`)
const { flush } = values
if (flush !== 'SYNC_FLUSH' && flush !== 'ASYNC_FLUSH') {
  throw new Error(`--flush ${flush}: allowed are SYNC_FLUSH and ASYNC_FLUSH`)
}
const { network } = values
if (network !== 'proxies' && network !== 'namespaces') {
  throw new Error(`--network ${network}: allowed are proxies and namespaces`)
}
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: allowed is a number from 1 on`)
const all = [
  ...(network === 'namespaces' ? Object.keys(WIRE_CUTS) : Object.keys(BLOWS)),
  // Across a power cut of all only SYNC_FLUSH promises anything.
  ...Object.keys(POWER_CUTS).filter((name) => flush === 'SYNC_FLUSH' || name !== 'power cut of all at once'),
] as BlowName[]
const wanted = values.blow === undefined ? all : all.filter((name) => values.blow?.includes(name))
if (wanted.length === 0) throw new Error(`--blow: allowed are ${all.join(', ')}`)
let seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed)

// The members are killed by a handler of 'exit', which a signal alone does not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
if (network === 'namespaces' && !values.inside) {
  const why = whyNoNamespaces()
  if (why !== null) console.log(`skipped: ${why}`)
  process.exit(why === null ? runInside(import.meta.url, [...process.argv.slice(2), '--inside']) : 0)
}
const deadline = performance.now() + minutes * 60_000
const struck: Round[] = []
const totals = {
  acknowledged: 0,
  unknown: 0,
  refused: 0,
  reads: 0,
  operations: 0,
  readsWithoutEntry: 0,
  flips: 0,
  resets: 0,
  badFrames: 0,
  undone: 0,
}
const violations: string[] = []
while (performance.now() < deadline) {
  const random = seededRandom(seed)
  const blows = Array.from({ length: rounds }, () => wanted[random.below(wanted.length)] as BlowName)
  const result = await runRounds({
    size: 3,
    network,
    flush,
    shadowed: true,
    // Failover takes an election timeout then, so each second group has them.
    leaseReads: seed % 2 === 1,
    seed,
    blows,
    say: (line) => console.log(line),
  })
  struck.push(...result.rounds)
  for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += result[key]
  for (const violation of result.violations) {
    violations.push(violation)
    console.log(`seed ${seed}: ${violation}`)
  }
  seed++
}
console.log(summary({ rounds: struck, violations, ...totals }))
process.exitCode = violations.length === 0 ? 0 : 1
