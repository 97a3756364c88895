/**
 * What a member becomes that leads alone or copies one that does, at its start: roles that people give, not elections.
 *
 *   opened as a master   the lone voter of its log            goes on
 *                        a copy of a lone voter's log         is made the master: a configuration of a term that is far ahead names it,
 *                                                             under a new store identity, and the former master with where the logs part
 *   opened as a slave    a learner, or nothing yet            goes on
 *                        what has led                         goes on under a new store identity, as nobody's member, until a master adds it
 *
 * Keeps:
 *   C1  a new master is one entry of its log: there is no half of it. The term is durable before.
 *   C2  nothing is made a master that a group with several voters knows: there somebody is elected.
 *   C3  whoever was made a slave never counts again under the identity under which it led.
 *   C5  a disk that is full, or hangs, ends the start with what is missing, within a known time; the next start goes on with it.
 */
import { encodeConfiguration } from '../configuration-codec.ts'
import { invalid } from '../config.ts'
import type { Incoming } from '../hard-state/hard-state-codec.ts'
import type { Configuration } from '../raft/configuration.ts'
import { BatchBuilder } from './batch-builder.ts'
import { BoundedStart } from './bounded-start.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'

/** What a former master that goes on by itself begins are terms, one with each start: it shall not come near. */
const TERMS_AHEAD = 1_024
/** Former masters that are remembered. */
const FORMERS_MAX = 16

export function takeClassicRole(
  options: LogNodeOptions,
  member: OpenedMember,
  callback: (error: Error | null) => void,
): void {
  const { classic, directory, self } = options
  if (classic === undefined) return callback(null)
  const { hardState, shape, log } = member
  const configuration = shape.configurations.at(-1)?.configuration ?? null
  const refused = whyNot(configuration, log.configurationIsLost)
  if (refused !== null) return callback(invalid(`${directory}: ${refused}`))
  const voter = configuration?.voters[0] ?? null
  const leads =
    voter === null
      ? hardState.mustBeNamed !== true
      : voter.id === self && (voter.storeId ?? hardState.storeId) === hardState.storeId
  if (classic === 'slave') {
    if (hardState.mustBeNamed === true && !leads) return callback(null)
    return stepBack(options, member, callback)
  }
  if (leads) return callback(null)
  if (configuration === null || voter?.storeId == null) {
    return callback(
      invalid(`${directory}: this copy holds nothing of its master yet, so there is nothing to be master of`),
    )
  }
  makeMaster(options, member, { configuration, formerStore: voter.storeId }, callback)
}

function whyNot(configuration: Configuration | null, isLost: boolean): string | null {
  if (isLost) return 'the entry that names the members is damaged'
  const voters = configuration?.voters ?? []
  if (voters.length <= 1) return null
  return `its group has the voters ${voters.map(({ id }) => id).join(', ')}, of which one is elected: it has no master and no slaves`
}

function stepBack(options: LogNodeOptions, member: OpenedMember, callback: (error: Error | null) => void): void {
  const storeId = options.newStoreId()
  options.logger.warn(
    { former: member.hardState.storeId, storeId, lastIndex: member.log.lastIndex },
    'this store has led: it goes on as a new one, and waits until a master takes it in as a slave',
  )
  const steps = new BoundedStart({ node: options, member, doing: 'that this store becomes a slave' }, callback)
  member.writeHardState(
    { storeId, mustBeNamed: true, namedAs: null },
    steps.thenDo(() => steps.end(null)),
  )
}

interface Copy {
  readonly configuration: Configuration
  readonly formerStore: string
}

function makeMaster(
  options: LogNodeOptions,
  member: OpenedMember,
  { configuration, formerStore }: Copy,
  callback: (error: Error | null) => void,
): void {
  const { self, logger, controlEnvelope } = options
  const { log, hardState } = member
  const lastIndex = log.lastIndex
  const storeId = options.newStoreId()
  const term = hardState.term + TERMS_AHEAD
  const formers = [...(configuration.formers ?? []), { storeId: formerStore, lastIndex }].slice(-FORMERS_MAX)
  logger.warn(
    { former: configuration.voters[0]?.id, lastIndex, term, storeId },
    `this copy is made the master, by its configuration: whatever its former master has beyond entry ${lastIndex} does not count`,
  )
  if (hardState.recovering) {
    logger.warn({ lastIndex }, 'the machine of this copy went off: what it had not synced may be missing in it')
  }
  const change = { storeId, term, votedFor: null, mustBeNamed: false, namedAs: null, recovering: false }
  const steps = new BoundedStart({ node: options, member, doing: 'that this copy is made the master' }, callback)
  const reopen = (): void => reopened(member, (error) => steps.end(error))
  const sync = (): void => log.sync(steps.thenDo(reopen))
  const append = (): void => {
    const named: Configuration = { voters: [{ id: self, storeId, address: null }], learners: [], formers }
    const batch = new BatchBuilder(log, controlEnvelope).wrapControl('configuration', encodeConfiguration(named), term)
    log.append(batch, steps.thenDo(sync))
  }
  const written = { ...change, knownPeers: {}, incoming: withoutStaging(member) }
  member.writeHardState(written, steps.thenDo(append))
}

/** What was on its way from the former master is not waited for; what has come takes its place. */
function withoutStaging({ hardState }: OpenedMember): Incoming | null {
  const incoming = hardState.incoming ?? null
  return incoming?.phase === 'STAGING' ? null : incoming
}

function reopened(member: OpenedMember, callback: (error: Error | null) => void): void {
  try {
    member.closeLog()
    member.reopenLog()
  } catch (error) {
    return callback(error as Error)
  }
  callback(null)
}
