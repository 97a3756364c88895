/**
 * Exactly-once of transactions and timers over failovers, as many as wanted:
 *
 *   npm run test:pending -- [--rounds 100] [--flush SYNC_FLUSH|ASYNC_FLUSH]
 *
 * Exit status 1 when anything is lost, doubled, early, or there and not to be.
 */
import { parseArgs } from 'node:util'
import { runRounds, summary, violations } from './rounds.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '100' }, flush: { type: 'string', default: 'SYNC_FLUSH' } },
})
const rounds = Number(values.rounds)
const { flush } = values
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: allowed is a number from 1 on`)
if (flush !== 'SYNC_FLUSH' && flush !== 'ASYNC_FLUSH') {
  throw new Error(`--flush ${flush}: allowed are SYNC_FLUSH and ASYNC_FLUSH`)
}

// The servers are stopped by a handler of 'exit', which a signal alone does not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
const result = await runRounds({ rounds, flush, say: (line) => console.log(line) })
const found = violations(result)
for (const text of found) console.log(text)
console.log(summary(result))
process.exitCode = found.length === 0 ? 0 : 1
