/**
 * By which id the master and its slaves know this broker's log: chosen once, when the directory is made, and read from it ever after.
 *
 * It says nothing of the role: a slave that is made the master keeps it, and so does a master that becomes a slave.
 *
 * Keeps: a directory is never opened under another id than it was made with; two that are made anew do not meet under one.
 */
import type { Random } from '@dledger-ts/base'
import type { Disk } from '@dledger-ts/dledger'
import { type BrokerConfig, ConfigError } from '../config/config.ts'

const NAME = /^dledger-([A-Za-z_]*\d{1,9})$/
const NUMBERS = 1_000_000_000

type Directories = Pick<BrokerConfig, 'classic' | 'dLegerSelfId' | 'selfId' | 'storePathRootDir' | 'storePathCommitLog'>

/** @param given whether the configuration names it. @throws ConfigError where there are several. */
export function memberIdOf(config: Directories, disk: Pick<Disk, 'listSync'>, random: Random): string {
  const { classic, selfId, storePathRootDir, storePathCommitLog } = config
  if (classic === null) return selfId
  const found = new Set<string>()
  for (const directory of [storePathCommitLog, storePathRootDir]) {
    for (const name of disk.listSync(directory)) {
      const id = NAME.exec(name)?.[1]
      if (id !== undefined) found.add(id)
    }
  }
  if (found.size > 1) {
    const what = `${storePathRootDir} holds the logs of ${[...found].join(' and ')}: move those away that are not to be served`
    throw new ConfigError(what, { code: 'INVALID_CONFIG', key: 'storePathRootDir', value: storePathRootDir })
  }
  const [id] = found
  return id ?? (classic === 'master' ? selfId : `s${random.below(NUMBERS)}`)
}
