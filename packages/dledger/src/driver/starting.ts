/**
 * What a member begins with, at its start and after another log has taken the place of its own.
 *
 * Keeps: nothing is taken for applied that the log does not hold, nor for committed; a log whose start the state does not reach is
 * refused, for no entry could ever fill that gap.
 */
import { assert } from '@dledger-ts/base'
import { handoverOptions, invalid } from '../config.ts'
import { Raft } from '../raft/raft.ts'
import { WIRE_VERSION } from '../transport/greeting.ts'
import type { Hello } from '../transport/transport.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'
import { heartbeatTicksOf } from './wake-ups.ts'

/** Where a member goes on in its log. */
export interface StartingPoint {
  /** Applied already, by the state machine's own checkpoint. */
  readonly appliedIndex: number
  /** Known committed; at least what is applied. */
  readonly commitIndex: number
}

/** @throws DLedgerError INVALID for a state that ends before the log starts. */
export function startingPoint(options: LogNodeOptions, { hardState, log }: OpenedMember): StartingPoint {
  const { stateMachine: machine, logger, directory } = options
  if (machine !== null && machine.appliedIndex > log.lastIndex) {
    logger.warn(
      { appliedIndex: machine.appliedIndex, lastIndex: log.lastIndex },
      'the applied state is beyond the log: it is discarded and built again',
    )
    machine.discard()
    assert(machine.appliedIndex === -1, 'a discarded state has nothing applied')
  }
  // What our own group has trimmed is known by the entry before the first one kept.
  const isApaches = hardState.beforeFirst === null && hardState.incoming === undefined && log.firstIndex > 0
  if (isApaches && machine?.appliedIndex === -1) machine.startsBehind?.(log.firstIndex - 1, log.startPos)
  const appliedIndex = machine?.appliedIndex ?? log.firstIndex - 1
  if (appliedIndex < log.firstIndex - 1 && hardState.incoming?.phase !== 'RESTORING') {
    throw invalid(
      `${directory}: the state ends with entry ${appliedIndex}, but the log starts with ${log.firstIndex}: ` +
        'what is between them was trimmed, so the state can only come from another member',
    )
  }
  // What came by an install was committed; the state that belongs to it may still be on its way into the state machine.
  const { incoming } = hardState
  const installed = incoming?.stateOnly === true ? incoming.snapshot : incoming?.hint
  const installedIndex = incoming?.phase === 'RESTORING' ? (installed?.index ?? -1) : -1
  return { appliedIndex, commitIndex: Math.min(Math.max(appliedIndex, installedIndex), log.lastIndex) }
}

/** The core for the log and the hard state as they are. */
export function makeCore(options: LogNodeOptions, { hardState, shape }: OpenedMember, point: StartingPoint): Raft {
  const { settings, self, bootstrapVoters } = options
  return new Raft(
    {
      self,
      selfStoreId: hardState.storeId,
      bootstrapVoters: hardState.mustBeNamed ? bootstrapVoters.filter((id) => id !== self) : bootstrapVoters,
      mustBeNamed: hardState.mustBeNamed ?? false,
      wasNamed: hardState.namedAs === hardState.storeId,
      knownStores: new Map(Object.entries(hardState.knownPeers ?? {}).map(([id, { storeId }]) => [id, storeId])),
      heartbeatTicks: heartbeatTicksOf(settings),
      electionTicks: Math.max(2, Math.round(settings.electionTimeoutMs / settings.tickMs)),
      random: options.random,
      handover: handoverOptions(settings),
      inflightBytesMax: settings.inflightBytesMax,
      appendBytesMax: settings.appendBytesMax,
      uncommittedBytesMax: settings.uncommittedBytesMax,
      hotBytesMax: settings.hotBytesMax,
      tellsCommitWhenAsked: true,
      leaseReads: settings.leaseReads,
      hardState: { term: hardState.term, votedFor: hardState.votedFor },
      incarnation: hardState.incarnation,
      recovering: hardState.recovering,
      log: shape,
      appliedIndex: point.appliedIndex,
      commitIndex: point.commitIndex,
    },
    options.plantedFaults,
  )
}

/** How this member introduces itself. */
export function helloOf(options: LogNodeOptions, { hardState }: OpenedMember): Hello {
  return {
    wireVersion: WIRE_VERSION,
    group: options.group,
    member: options.self,
    storeId: hardState.storeId,
    fileBytes: options.settings.fileBytes,
    advertised: options.advertised,
    incarnation: hardState.incarnation,
    formerIncarnations: hardState.formerIncarnations ?? [],
    leaseReads: options.settings.leaseReads,
    standing: null,
  }
}
