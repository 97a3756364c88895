/**
 * A small store of which one byte of one file is flipped, or one file cut: it shows what was there, or a step of it where the end of its log
 * was torn off, or says which place is damaged. A sample for each run, by a key that is printed; `npm run test:damage` tries all.
 */
import { expect, test } from 'vitest'
import { type CampaignOptions, runCampaign, type StoreName } from './campaign.ts'

/** Damages of each kind of store: of 56,000, 50,000 and 12,000. */
const SAMPLE: readonly (readonly [store: StoreName, step: number])[] = [
  ['killed', 211],
  ['closed', 401],
  ['database', 151],
]

test.each(SAMPLE)('a damaged store, %s, one of %i damages', { timeout: 280_000 }, async (store, step) => {
  const key = Number(process.env['DAMAGE_KEY'] ?? Math.floor(Math.random() * step))
  const options: CampaignOptions = { store, step, key, goesOnEvery: 4 }
  const { trials, outcomes, violations } = await runCampaign(options)
  expect(violations, `DAMAGE_KEY=${key}`).toEqual([])
  expect(trials).toBeGreaterThan(40)
  expect(outcomes.get('whole')).toBeGreaterThan(20)
})
