/**
 * Tries every damage of a small store: `npm run test:damage`.
 *
 *   --store killed|closed|database   one of them; default all
 *   --step n --key k                 every n-th damage from the k-th on; default all of them
 */
import { parseArgs } from 'node:util'
import { type CampaignResult, runCampaign, type StoreName, STORES } from './campaign.ts'
import { nameOfDamage } from './damages.ts'

const PROGRESS_MS = 30_000
const GOES_ON_EVERY = 8

const { values } = parseArgs({
  options: {
    store: { type: 'string' },
    step: { type: 'string', default: '1' },
    key: { type: 'string', default: '0' },
  },
})
const stores = STORES.filter((store) => values.store === undefined || values.store === store)
if (stores.length === 0) throw new Error(`--store is one of ${STORES.join(', ')}`)

let current = 'building the store'
process.on('uncaughtException', (error) => {
  process.stdout.write(`VIOLATION ${current}: the process would have ended: ${error.stack}\n`)
  process.exitCode = 1
  process.exit()
})

let passed = 0
let failed = 0
for (const store of stores) {
  const result = await tryAll(store)
  passed += result.trials - result.violations.length
  failed += result.violations.length
  const outcomes = [...result.outcomes].map(([outcome, count]) => `${count} ${outcome}`).join(', ')
  process.stdout.write(`${store}: ${result.trials} damages: ${outcomes}; ${result.violations.length} violations\n`)
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 ? 0 : 1

function tryAll(store: StoreName): Promise<CampaignResult> {
  let trials = 0
  let toldMs = performance.now()
  return runCampaign({
    store,
    step: Number(values.step),
    key: Number(values.key),
    goesOnEvery: GOES_ON_EVERY,
    onTrial: (damage, { violation }) => {
      trials++
      current = nameOfDamage(damage)
      if (violation !== null) process.stdout.write(`VIOLATION ${store} ${current}: ${violation.slice(0, 600)}\n`)
      if (performance.now() - toldMs < PROGRESS_MS) return
      toldMs = performance.now()
      process.stdout.write(`${store}: ${trials} damages, at ${current}\n`)
    },
  })
}
