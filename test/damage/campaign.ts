/**
 * All damages of a small store, or a sample of them, tried one after another.
 *
 *   killed    left by a kill, with a tail that no checkpoint has: the files of log, queues and index, and Apache's
 *   closed    the same store closed: all of it is synced, so nothing may be cut
 *   database  the files of its real database
 *
 * Keeps: which of them a sample holds depends on its key alone.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryMetadata } from '@dledger-ts/store'
import { allDamages, type Damage, damaged, nameOfDamage } from './damages.ts'
import type { DiskImage } from './image-disk.ts'
import { buildSmallStore, type SmallStore } from './small-store.ts'
import { type Outcome, tryDamaged, type Verdict } from './trial.ts'

export const STORES = ['killed', 'closed', 'database'] as const
export type StoreName = (typeof STORES)[number]

export interface CampaignOptions {
  readonly store: StoreName
  /** Every so many damages one is tried … */
  readonly step: number
  /** … beginning with this one. */
  readonly key: number
  /** Every so many trials the store is written on, closed and opened again. */
  readonly goesOnEvery: number
  readonly onTrial?: (damage: Damage, verdict: Verdict) => void
}

export interface CampaignResult {
  readonly trials: number
  readonly outcomes: ReadonlyMap<Outcome, number>
  /** Each with the damage that brought it. */
  readonly violations: readonly string[]
}

const DIRECTORY = '/store'

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  if (options.store !== 'database') {
    const small = await buildSmallStore({ dir: DIRECTORY, isKilled: options.store === 'killed' })
    return run(options, small.files, (files, damage, goesOn) => tryFiles(small, files, damage, goesOn))
  }
  const dir = mkdtempSync(join(tmpdir(), 'dledger-damage-'))
  try {
    const small = await buildSmallStore({ dir, isKilled: true, usesLevel: true })
    return await run(options, databaseOf(small), (files, _, goesOn) => tryDatabase(small, files, goesOn))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

async function run(
  { step, key, goesOnEvery, onTrial }: CampaignOptions,
  files: DiskImage,
  trial: (files: DiskImage, damage: Damage, goesOn: boolean) => Promise<Verdict>,
): Promise<CampaignResult> {
  const outcomes = new Map<Outcome, number>()
  const violations: string[] = []
  let trials = 0
  let i = 0
  for (const damage of allDamages(files)) {
    if (i++ % step !== key % step) continue
    const verdict = await trial(damaged(files, damage), damage, trials % goesOnEvery === 0)
    trials++
    outcomes.set(verdict.outcome, (outcomes.get(verdict.outcome) ?? 0) + 1)
    if (verdict.violation !== null) violations.push(`${nameOfDamage(damage)}: ${verdict.violation.slice(0, 1_000)}`)
    onTrial?.(damage, verdict)
  }
  return { trials, outcomes, violations }
}

function tryFiles(small: SmallStore, files: DiskImage, damage: Damage, goesOn: boolean): Promise<Verdict> {
  const { path } = damage
  const isLog = path.includes('/commitlog/') && !path.endsWith('/lock')
  return tryDamaged({
    small,
    files,
    metadata: (small.metadata as MemoryMetadata).crash(Number.POSITIVE_INFINITY),
    what: isLog ? 'log' : 'derived',
    goesOn,
  })
}

function databaseOf({ metadata }: SmallStore): DiskImage {
  const files = metadata as ReadonlyMap<string, Buffer>
  return new Map([...files].map(([name, bytes]) => [name, { bytes, size: bytes.length }]))
}

function tryDatabase(small: SmallStore, files: DiskImage, goesOn: boolean): Promise<Verdict> {
  const directory = join(small.dir, 'metadata')
  rmSync(directory, { recursive: true, force: true })
  rmSync(`${directory}.damaged`, { recursive: true, force: true })
  mkdirSync(directory)
  for (const [name, { bytes }] of files) writeFileSync(join(directory, name), bytes)
  return tryDamaged({ small, files: small.files, metadata: null, what: 'derived', goesOn })
}
