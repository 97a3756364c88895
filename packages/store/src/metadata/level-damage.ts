/**
 * Whether a LevelDB database is damaged: before it is opened, by its tables, and by what its library says of it.
 *
 * Keeps: nothing is written; tables that are no part of the database do not matter.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StoreError } from '../errors.ts'
import { tablesOf } from './level-manifest.ts'
import { findTableDamage } from './level-tables.ts'

/** Bytes of tables that are looked through before the database is opened: half a second's work. The newest ones first. */
const CHECKED_BYTES_MAX = 256 * 1024 * 1024
/** Names of the database's own files. */
const FILE_NAME = /^[A-Za-z0-9.-]+$/

/** @returns what is wrong, with the file's name; null when nothing is found, or nothing is there. @throws StoreError STORAGE_FAILED. */
export async function findDamage(directory: string): Promise<string | null> {
  const manifest = await readIfThere(directory, await currentManifest(directory))
  if (manifest === null) return null
  let left = CHECKED_BYTES_MAX
  const newestFirst = [...tablesOf(manifest)].sort(([a], [b]) => b - a)
  for (const [table, size] of newestFirst) {
    left -= size
    if (left < 0) return null
    const digits = String(table).padStart(6, '0')
    const bytes = (await readIfThere(directory, `${digits}.ldb`)) ?? (await readIfThere(directory, `${digits}.sst`))
    const damage = bytes === null ? 'it is missing' : findTableDamage(bytes.subarray(0, size))
    if (damage !== null) return `${join(directory, `${digits}.ldb`)}: ${damage}`
  }
  return null
}

async function currentManifest(directory: string): Promise<string> {
  return (await readIfThere(directory, 'CURRENT'))?.toString().trim() ?? ''
}

/** @returns null when there is no such file. */
async function readIfThere(directory: string, name: string): Promise<Buffer | null> {
  if (!FILE_NAME.test(name)) return null
  try {
    return await readFile(join(directory, name))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    const what = `${join(directory, name)}: cannot be read: ${String(error)}`
    throw new StoreError(what, { code: 'STORAGE_FAILED', what }, { cause: error })
  }
}

/** What LevelDB says of content, not of the disk. */
export function isDamage(error: unknown): error is Error {
  if (!(error instanceof Error) || !('code' in error)) return false
  // A manifest that is gone, or that CURRENT does not name any more, is damage too; other failures to read are the disk's.
  return (
    error.code === 'LEVEL_CORRUPTION' ||
    (error.code === 'LEVEL_IO_ERROR' && /No such file|not found/i.test(error.message))
  )
}

export function damagedDatabase(what: string, cause?: unknown): StoreError {
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 }, { cause })
}
