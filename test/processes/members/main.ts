/**
 * `npm run test:processes -- [--minutes 10] [--seed N] [--flush TYPE] [--blow NAME]… [--network namespaces]`: groups of real
 * processes, a new one for every twenty blows drawn at random (or `--rounds`). The seed is printed. With namespaces the network
 * itself is cut; where there are none, that is said, and nothing is run.
 */
import { randomInt } from 'node:crypto'
import { Option } from 'commander'
import { seededRandom } from '@dledger-ts/base'
import { commandLine, minutes, wholeNumber } from '../../command-line.ts'
import { BLOWS, type BlowName, POWER_CUTS, WIRE_CUTS } from './blows.ts'
import { runInside, whyNoNamespaces } from './namespaces.ts'
import { type Round, runRounds, summary } from './rounds.ts'

interface Options {
  readonly minutes: number
  readonly seed?: number
  readonly flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  readonly blow: readonly BlowName[]
  readonly rounds: number
  readonly network: 'proxies' | 'namespaces'
  readonly inside: boolean
}

const ALL_BLOWS = [...new Set([...Object.keys(BLOWS), ...Object.keys(WIRE_CUTS), ...Object.keys(POWER_CUTS)])]

const options = commandLine(
  'test:processes',
  'Strikes groups of three real processes at random, and checks what they promised.',
)
  .addOption(minutes('how long').default(10))
  .addOption(wholeNumber('--seed <number>', 'the first group (default: at random, printed)', 0))
  .addOption(
    new Option('--flush <type>', 'when a write counts').choices(['SYNC_FLUSH', 'ASYNC_FLUSH']).default('SYNC_FLUSH'),
  )
  .addOption(new Option('--blow <name...>', 'only these').choices(ALL_BLOWS).default([], 'all'))
  .addOption(wholeNumber('--rounds <count>', 'blows to one group', 1).default(20))
  .addOption(
    new Option('--network <kind>', 'namespaces: the network itself is cut, where the rights are there')
      .choices(['proxies', 'namespaces'])
      .default('proxies'),
  )
  .addOption(new Option('--inside').hideHelp().default(false))
  .addHelpText('after', '\nExit status 1 on any violation.')
  .parse()
  .opts<Options>()
const { flush, network, rounds } = options
const all = [
  ...(network === 'namespaces' ? Object.keys(WIRE_CUTS) : Object.keys(BLOWS)),
  // Across a power cut of all only SYNC_FLUSH promises anything.
  ...Object.keys(POWER_CUTS).filter((name) => flush === 'SYNC_FLUSH' || name !== 'power cut of all at once'),
] as BlowName[]
const wanted = options.blow.length === 0 ? all : all.filter((name) => options.blow.includes(name))
if (wanted.length === 0) {
  console.error(`--blow: with --flush ${flush} and --network ${network} allowed are ${all.join(', ')}`)
  process.exit(1)
}
let seed = options.seed ?? randomInt(2 ** 31)

// The members are killed by a handler of 'exit', which a signal alone does not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
if (network === 'namespaces' && !options.inside) {
  const why = whyNoNamespaces()
  if (why !== null) console.log(`skipped: ${why}`)
  process.exit(why === null ? runInside(import.meta.url, [...process.argv.slice(2), '--inside']) : 0)
}
const deadline = performance.now() + options.minutes * 60_000
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
