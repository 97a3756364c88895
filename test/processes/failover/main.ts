/**
 * The same rounds by command, as many as wanted:
 *
 *   node test/dist/processes/failover/main.js [--rounds 10] [--blow kill|pause] [--flush SYNC_FLUSH|ASYNC_FLUSH]
 *
 * Exit status 1 on any loss or violation.
 */
import { parseArgs } from 'node:util'
import { runRounds, summary } from './rounds.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    blow: { type: 'string', default: 'kill' },
    flush: { type: 'string', default: 'SYNC_FLUSH' },
  },
})
const rounds = Number(values.rounds)
const { flush, blow } = values
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: allowed is a number from 1 on`)
if (flush !== 'SYNC_FLUSH' && flush !== 'ASYNC_FLUSH') {
  throw new Error(`--flush ${flush}: allowed are SYNC_FLUSH and ASYNC_FLUSH`)
}

if (blow !== 'kill' && blow !== 'pause') throw new Error(`--blow ${blow}: allowed are kill and pause`)

// The servers are stopped by a handler of 'exit', which a signal alone does not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1))
const result = await runRounds({ rounds, blow, flush, say: (line) => console.log(line) })
for (const text of [...result.lost.map((key) => `lost ${key}`), ...result.violations]) console.log(text)
console.log(summary(result))
process.exitCode = result.lost.length + result.violations.length === 0 ? 0 : 1
