/**
 * The scripts in `scenarios/`. `REWRITE_SCENARIOS=1 npx vitest run raft.scenario` writes what is seen now into them; the
 * rewrite is committed only when its diff is understood.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
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
