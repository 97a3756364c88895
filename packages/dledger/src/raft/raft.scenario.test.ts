/**
 * The scripts in `scenarios/`. `REWRITE_SCENARIOS=1 npx vitest run raft.scenario` writes what is seen now into them; the
 * rewrite is committed only when its diff is understood.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AssertionError } from '@dledger-ts/base'
import { describe, expect, test } from 'vitest'
import type { PlantedFault } from './planted-faults.ts'
import { runScenario } from './testing/scenario.ts'

const folder = fileURLToPath(new URL('./scenarios/', import.meta.url))

describe('scenarios', () => {
  for (const name of readdirSync(folder).sort()) {
    test(name.replaceAll('-', ' ').replace(/\.txt$/, ''), () => {
      const script = readFileSync(folder + name, 'utf8')
      const seen = runScenario(script)
      if (process.env['REWRITE_SCENARIOS'] === '1') writeFileSync(folder + name, seen)
      else expect(seen).toBe(script)
    })
  }
})

describe('each clause about recovering members is at work in a scenario: without it another thing happens', () => {
  const rows: readonly { readonly fault: PlantedFault; readonly scenario: string }[] = [
    { fault: 'recovering-counted', scenario: 'a-recovering-members-acknowledgement-does-not-count' },
    { fault: 'recovering-votes', scenario: 'a-majority-with-a-recovering-vote-elects-nobody' },
    { fault: 'recovering-by-old-leader', scenario: 'a-new-leader-is-asked-anew-by-a-recovering-member' },
    {
      fault: 'recover-answer-without-nonce',
      scenario: 'a-late-answer-to-a-recovering-member-is-not-heard-in-its-next-life',
    },
    {
      fault: 'match-kept-across-recovery',
      scenario: 'a-recovering-member-counts-when-it-holds-the-leaders-log',
    },
  ]
  test.each(rows)('$fault', ({ fault, scenario }) => {
    const script = readFileSync(`${folder}${scenario}.txt`, 'utf8')
    let seen: string
    try {
      seen = runScenario(script, new Set([fault]))
    } catch (error) {
      // The safety properties that are held after each step.
      if (!(error instanceof AssertionError)) throw error
      return
    }
    expect(seen).not.toBe(script)
  })
})
