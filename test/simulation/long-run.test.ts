/** What a run leaves in the file that its totals are added to. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import type { Totals } from './explore.ts'

const MAIN = fileURLToPath(new URL('../dist/simulation/main.js', import.meta.url))

test('each run adds one line with the totals that it prints', { timeout: 60_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'long-run-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'runs')
  const printed = ['1..3', '4..5'].map((seeds) => {
    const args = [MAIN, '--seeds', seeds, '--profile', 'short', '--jobs', '1', '--record', file]
    return spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout.trim().split('\n').at(-1)
  })
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  const records = lines.map((line) => JSON.parse(line) as Totals & { readonly violations: number })
  expect(records).toMatchObject([
    { seeds: '1..3', profile: 'short', schedules: 3, violations: 0, stopped: false },
    { seeds: '4..5', profile: 'short', schedules: 2, violations: 0, stopped: false },
  ])
  expect(printed).toEqual(
    records.map((one) => `${one.schedules} schedules, ${one.events} events, ${one.faults} faults, 0 violations`),
  )
})
