/**
 * The files of ACL 1.0 below `rocketmqHome`: those of `conf/acl` at any depth, by name, then `rocketmq.acl.plain.file`.
 *
 * Keeps: of accounts of one name the first counts; what cannot be loaded stops the start, and is named.
 *
 * Source: PlainPermissionManager.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Logger } from '@dledger-ts/base'
import { ConfigError } from '../config/config.ts'
import type { ConfigValues } from '../config/keys.ts'
import { parsePlainAcl, PlainAclFault, type WantedUser } from './plain-acl.ts'

const FILE_KEY = 'rocketmq.acl.plain.file'

/** @returns nothing where that is not asked for. @throws ConfigError that names the file, and no secret. */
export function readPlainAclFiles(config: ConfigValues, logger: Logger): readonly WantedUser[] {
  if (!config.migrateAuthFromV1Enabled) return []
  const found = new Map<string, WantedUser>()
  const file = path.resolve(config.rocketmqHome, config[FILE_KEY])
  const files = [...filesIn(path.resolve(config.rocketmqHome, 'conf/acl')), ...(existsSync(file) ? [file] : [])]
  if (files.length === 0) logger.warn({ file }, 'no accounts are taken over: there is no such file')
  for (const one of new Set(files)) {
    const { users, warnings } = read(one)
    for (const warning of warnings) logger.warn({ file: one, what: warning }, 'not taken over as it stands')
    for (const wanted of users) if (!found.has(wanted.user.username)) found.set(wanted.user.username, wanted)
  }
  return [...found.values()]
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && /\.ya?ml$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()
}

function read(file: string): ReturnType<typeof parsePlainAcl> {
  try {
    return parsePlainAcl(readFileSync(file, 'utf8'))
  } catch (error) {
    const isKnown = error instanceof PlainAclFault || (error instanceof Error && 'code' in error)
    if (!isKnown) throw error
    const what = `${file} cannot be loaded: ${error.message}`
    throw new ConfigError(what, { code: 'INVALID_CONFIG', key: FILE_KEY, value: file }, { cause: error })
  }
}
