/**
 * By which id the master and its slaves know this broker's log: chosen once, when the directory is made, and read from it ever after.
 *
 * It says nothing of the role: a slave that is made the master keeps it, and so does a master that becomes a slave.
 *
 * Keeps: a directory is never opened under another id than it was made with; two that are made anew do not meet under one.
 */
import type { Random } from '@dledger-ts/base'
import { type BrokerConfig, ConfigError } from '../config/config.ts'

const NUMBERS = 1_000_000_000

type Directories = Pick<BrokerConfig, 'classic' | 'selfId' | 'storePathRootDir'>

/** @param found the ids of the logs that are there. @throws ConfigError where there are several. */
export function memberIdOf(config: Directories, found: readonly string[], random: Random): string {
  const { classic, selfId, storePathRootDir } = config
  if (classic === null) return selfId
  if (found.length > 1) {
    const what = `${storePathRootDir} holds the logs of ${found.join(' and ')}: move those away that are not to be served`
    throw new ConfigError(what, { code: 'INVALID_CONFIG', key: 'storePathRootDir', value: storePathRootDir })
  }
  return found[0] ?? (classic === 'master' ? selfId : `s${random.below(NUMBERS)}`)
}
