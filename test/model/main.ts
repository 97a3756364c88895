/**
 * `npm run test:model -- --runs N --seed S`: brokers of a simulated group against the model. The smallest list of commands that fails is
 * written to a file; `--run FILE` does it again and says what happened. `--help` has the rest.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Option } from 'commander'
import { commandLine, minutes, wholeNumber } from '../command-line.ts'
import { hunt } from './mutants.ts'
import { PLANTED } from './planted.ts'
import { explore, type Run } from './property.ts'
import { runSteps } from './run.ts'

interface Options {
  readonly runs: number
  readonly seed: number
  readonly minutes: number
  readonly run?: string
  readonly planted?: true | readonly string[]
}

const options = commandLine(
  'test:model',
  'Runs whole brokers of a simulated group against a model of what clients may see.',
)
  .addOption(wholeNumber('--runs <count>', 'lists of commands at most', 1).default(1_000))
  .addOption(wholeNumber('--seed <seed>', 'which ones', 0, 0x7fff_ffff).default(1))
  .addOption(minutes('ends after so long').default(Number.POSITIVE_INFINITY, 'no end'))
  .option('--run <file>', 'does the commands of this file and says what happens')
  .addOption(
    new Option('--planted [name...]', 'plants faults, each alone; every one must be found').choices(
      Object.keys(PLANTED),
    ),
  )
  .addHelpText('after', '\nThe last line is `R runs, E events, V violations`; exit status 1 on a violation.')
  .parse()
  .opts<Options>()

// A promise that nobody waits for ends the process, as it would end a broker's.
if (options.planted !== undefined) process.exitCode = await survivors(options.planted)
else if (options.run === undefined) await search(options)
else await replay(options.run)
process.exit()

async function survivors(names: true | readonly string[]): Promise<number> {
  return (await hunt(names === true ? [] : names)) === 0 ? 0 : 1
}

async function search({ seed, runs, minutes: atMost }: Options): Promise<void> {
  const limit = Number.isFinite(atMost) ? { forMs: atMost * 60_000 } : {}
  const { failure, report, counts, ...totals } = await explore({ seed, runs, ...limit })
  console.log(JSON.stringify(counts))
  if (failure !== null) {
    const path = join(tmpdir(), `model-${seed}.json`)
    const { violation, ...run } = failure
    writeFileSync(path, `${JSON.stringify(run, null, 1)}\n`)
    console.log(report)
    console.log(`violated: ${violation}\n  replay: npm run test:model -- --run ${path}`)
  }
  finish(totals.runs, totals.events, failure === null ? 0 : 1)
}

async function replay(path: string): Promise<void> {
  const run = JSON.parse(readFileSync(path, 'utf8')) as Run
  const { violation, events, hash, counts } = await runSteps(run, (line) => console.log(line))
  console.log(JSON.stringify(counts), `hash ${hash}`)
  if (violation !== null) console.log(`violated: ${violation}`)
  finish(1, events, violation === null ? 0 : 1)
}

function finish(runs: number, events: number, violations: number): void {
  process.exitCode = violations === 0 ? 0 : 1
  console.log(`${runs} runs, ${events} events, ${violations} violations`)
}
