/**
 * By which id the master and its slaves know this broker's log: chosen once, when the directory is made, and read from it ever after.
 *
 * It says nothing of the role: a slave that is made the master keeps it, and so does a master that becomes a slave.
 *
 * Keeps:
 *   - a directory is never opened under another id than it was made with; two that are made anew do not meet under one;
 *   - no empty log begins beside one of another id, whose metadata it would take for outdated.
 */
import type { Random } from '@dledger-ts/base'
import { type BrokerConfig, ConfigError } from '../config/config.ts'

const NUMBERS = 1_000_000_000

type Directories = Pick<BrokerConfig, 'classic' | 'selfId' | 'storePathRootDir' | 'enableDLegerCommitLog'>

/** @param found the ids of the logs that are there. @throws ConfigError where it is not clear which of them is to be served. */
export function memberIdOf(config: Directories, found: readonly string[], random: Random): string {
  const { classic, selfId, storePathRootDir, enableDLegerCommitLog } = config
  if (classic === null) {
    // A member of a group that lost its log begins with nothing, and is given the group's.
    if (!enableDLegerCommitLog && found.length > 0 && !found.includes(selfId)) throw ofAnotherId(config, found)
    return selfId
  }
  if (found.length > 1) {
    const what = `${storePathRootDir} holds the logs of ${found.join(' and ')}: move those away that are not to be served`
    throw new ConfigError(what, { code: 'INVALID_CONFIG', key: 'storePathRootDir', value: storePathRootDir })
  }
  return found[0] ?? (classic === 'master' ? selfId : `s${random.below(NUMBERS)}`)
}

function ofAnotherId({ selfId, storePathRootDir }: Directories, found: readonly string[]): ConfigError {
  const what =
    `${storePathRootDir} holds the log of ${found.join(' and ')} (dledger-${found[0]}), and none of ${selfId}: ` +
    'it is of a slave, or of a slave that was made the master; set brokerRole=SLAVE, ASYNC_MASTER or SYNC_MASTER again, ' +
    'or move it away to begin with an empty store'
  return new ConfigError(what, { code: 'INVALID_CONFIG', key: 'brokerRole', value: '' })
}
