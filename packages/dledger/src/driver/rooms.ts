/**
 * The wiring of one log: what rests on it, and who tells whom. Built at a start, and anew when another log takes its place.
 *
 * Nothing is decided here, and nothing happens yet: the rooms are only made and connected.
 */
import { decodeConfiguration, encodeConfiguration } from '../configuration-codec.ts'
import type { Incoming } from '../hard-state/hard-state-codec.ts'
import { Scrubber } from '../log/scrubber.ts'
import type { RoleState } from '../raft/output.ts'
import type { Raft } from '../raft/raft.ts'
import { Applying } from './applying.ts'
import { BatchBuilder } from './batch-builder.ts'
import type { CatchUpBudget } from './catch-up-budget.ts'
import { CommitNotices } from './commit-notices.ts'
import { Durability } from './durability.ts'
import { GoingOn } from './going-on.ts'
import { HandingOver } from './handing-over.ts'
import type { HotTail } from './hot-tail.ts'
import { InstallReceiver } from './install-receiver.ts'
import { InstallSender } from './install-sender.ts'
import type { Life } from './life.ts'
import type { LogReading, ReadCold } from './log-reading.ts'
import { LogWriter } from './log-writer.ts'
import { Members } from './members.ts'
import type { LogNodeOptions } from './node-options.ts'
import { Naming } from './naming.ts'
import type { OpenedMember } from './open-member.ts'
import { Outputs } from './outputs.ts'
import type { PendingProposals } from './pending-proposals.ts'
import type { PlantedDriverFault } from './planted-driver-faults.ts'
import { Proposing } from './proposing.ts'
import { Reading } from './reading.ts'
import { Receiving } from './receiving.ts'
import { Repairing } from './repairing.ts'
import { Retention } from './retention.ts'
import { Sending } from './sending.ts'
import { helloOf, makeCore, type StartingPoint } from './starting.ts'
import type { StorageWatch } from './storage-watch.ts'
import { TrimProposals } from './trim-proposals.ts'
import { Trimming } from './trimming.ts'
import { UncheckedEntries } from './unchecked-entries.ts'

export interface Rooms {
  readonly raft: Raft
  readonly outputs: Outputs
  readonly writer: LogWriter
  readonly durability: Durability
  readonly proposing: Proposing
  readonly applying: Applying
  readonly reading: Reading
  readonly sending: Sending
  readonly receiving: Receiving
  readonly handingOver: HandingOver
  readonly members: Members
  readonly trimming: Trimming
  readonly trimProposals: TrimProposals
  readonly retention: Retention
  readonly repairing: Repairing
  readonly scrubber: Scrubber
  readonly installSender: InstallSender
  readonly installReceiver: InstallReceiver
}

/** What outlives a log, and what the event loop does for the rooms. */
export interface Wiring {
  readonly node: LogNodeOptions
  readonly faults: ReadonlySet<PlantedDriverFault>
  readonly member: OpenedMember
  readonly life: Life
  readonly logReading: LogReading
  readonly hot: HotTail
  readonly pending: PendingProposals
  readonly budget: CatchUpBudget
  readonly watch: StorageWatch
  /** Those of this member, who know the core from then on. */
  readonly membersOf: (raft: Raft) => Members
  readonly role: () => RoleState
  readonly onRole: (role: RoleState) => void
  readonly schedulePass: () => void
  /** Another member's log is received whole. */
  readonly onWhole: (incoming: Incoming) => void
  readonly onFailed: (error: Error) => void
}

export function buildRooms(wiring: Wiring, point: StartingPoint): Rooms {
  const { node, faults, member, life, logReading, hot, pending, budget, role, onRole, schedulePass, onFailed } = wiring
  const { clock, transport, controlEnvelope, stateMachine, settings, self, logger, observer } = node
  const { log } = member
  const raft = makeCore(node, member, point)
  const whileRunning = (work: () => void): void => life.whileRunning(work)
  const storeId = (): string => member.hardState.storeId
  const readCold: ReadCold = (firstIndex, lastIndex, bytesMax, callback) =>
    logReading.readCold(firstIndex, lastIndex, bytesMax, callback)
  const applying: Applying = new Applying({
    hot,
    stateMachine,
    appliedIndex: point.appliedIndex,
    commitIndex: Math.max(point.appliedIndex, point.commitIndex),
    isRestoring: member.hardState.incoming?.phase === 'RESTORING' && stateMachine !== null,
    readCold,
    mayReadCold: () => logReading.takesMore || pending.count > 0,
    onApplied: (index) => {
      raft.applied(index)
      pending.applied(index)
      reading.applied(index)
      node.onProgress?.()
    },
    firstLostFrom: (index) => log.firstLostFrom(index),
    onTrim: (body) => trimming.applied(body),
    schedulePass,
  })
  const handingOver = new HandingOver({ clock, self, electionTimeoutMs: settings.electionTimeoutMs, raft })
  const reading = new Reading({
    settings,
    clock,
    random: node.random,
    raft,
    faults,
    role,
    commitIndex: () => applying.commitIndex,
    appliedIndex: () => applying.appliedIndex,
  })
  const proposing: Proposing = new Proposing({
    settings,
    clock,
    raft,
    builder: new BatchBuilder(log, controlEnvelope),
    pending,
    isPlaceable: () => writer.placeable,
    role,
    lastIndex: () => log.lastIndex,
    unappliedBytes: () => applying.unappliedBytes(log.endPos),
    waitsForSuccessor: () => handingOver.waits(role()),
    schedulePass,
    onProposed: () => {
      outputs.drain(null)
      if (faults.has('acknowledged-before-commit')) pending.applied(log.lastIndex)
    },
  })
  const sending = new Sending({
    transport,
    observer,
    hot,
    raft,
    beforeSend: (message) => reading.sending(message),
    budget,
    readCold,
    storeId,
    later: (callback) => clock.defer(() => whileRunning(callback)),
    onRead: () => outputs.drain(null),
  })
  const receiving = new Receiving({
    log,
    raft,
    unchecked: new UncheckedEntries({ member, logger, onFailed }),
    fileBytes: settings.fileBytes,
    controlEnvelope,
    logger,
    role,
    durableTerm: () => durability.durableTerm,
    hasRoomFor: (bytes) => wiring.watch.reserve.hasRoomFor(bytes),
    drain: (carried) => outputs.drain(carried),
  })
  const durability = new Durability({
    member,
    settings,
    clock,
    onTermAndVoteDurable: () =>
      whileRunning(() => {
        sending.sendHeld()
        raft.hardStatePersisted()
      }),
    onFailed,
  })
  const naming = new Naming({
    member,
    raft: () => raft,
    tell: (seq) => {
      life.guarded(() => raft.persisted(seq))
      schedulePass()
    },
    onFailed,
  })
  const writer: LogWriter = new LogWriter({
    log,
    syncBeforeDurable: settings.flushDiskType === 'SYNC_FLUSH',
    asyncFlushIntervalMs: settings.asyncFlushIntervalMs,
    clock,
    faults,
    onDurable: (seq) => naming.durable(seq),
    onSynced: (mark, tookMs) =>
      life.guarded(() => {
        observer?.synced(mark.index, tookMs)
        applying.synced(Math.min(mark.index, writer.truncatesFrom - 1))
      }),
    onHint: (mark) => life.guarded(() => durability.synced(mark)),
    beforeTruncate: (index, callback) => life.guarded(() => durability.lower(index, callback)),
    hintWaitsForRoom: () => member.hardStateIsFull,
    onIdle: () => {
      if (proposing.hasWork) schedulePass()
    },
    onFailed,
  })
  const outputs: Outputs = new Outputs({
    self,
    logger,
    observer,
    faults,
    life,
    hot,
    raft,
    writer,
    durability,
    proposing,
    applying,
    reading,
    sending,
    receiving,
    commitNotices: new CommitNotices({ clock, raft, whileRunning, onTold: () => outputs.drain(null) }),
    onRole,
    schedulePass,
  })
  const trimming = new Trimming({
    member,
    raft,
    applying,
    stateMachine,
    controlEnvelope,
    logger,
    faults,
    whileRunning,
    onFailed,
  })
  const repairing = new Repairing({
    log,
    raft,
    hot,
    transport,
    logger,
    self,
    storeId,
    connectedPeers: () =>
      members
        .peers()
        .filter((peer) => peer.connected)
        .map(({ id }) => id),
    readCold,
    onAskedBelowStart: (peer, lastIndex) => {
      catchUp.installSender.askedBelowStart(peer)
      goingOn.lostUpTo(lastIndex)
    },
    onConfiguration: (index, body) =>
      raft.configurationRestored(index, decodeConfiguration(controlEnvelope.unwrap(body))),
    onRepaired: () => {
      writer.resume()
      schedulePass()
    },
  })
  const scrubber = new Scrubber({
    bytesPerSecond: settings.scrubBytesPerSecond,
    intervalMs: settings.scrubIntervalMs,
    firstIndex: () => log.firstIndex,
    lastIndex: () => Math.min(applying.appliedIndex, hot.firstIndex - 1),
    nextGood: (index) => log.firstGoodFrom(index),
    read: readCold,
  })
  const members = wiring.membersOf(raft)
  const trimProposals = new TrimProposals({ raft, proposing, stateMachine, role, schedulePass })
  const goingOn = new GoingOn({ log, role, commitIndex: () => applying.commitIndex, trimProposals })
  const catchUp: CatchUp = buildCatchUp(wiring, { raft, writer, durability, applying, sending, trimProposals })
  return {
    raft,
    outputs,
    writer,
    durability,
    proposing,
    applying,
    reading,
    sending,
    receiving,
    handingOver,
    members,
    trimming,
    trimProposals,
    repairing,
    scrubber,
    ...catchUp,
  }
}

type CatchUp = Pick<Rooms, 'retention' | 'installSender' | 'installReceiver'>
type CatchUpNeeds = Pick<Rooms, 'raft' | 'writer' | 'durability' | 'applying' | 'sending' | 'trimProposals'>

function buildCatchUp(wiring: Wiring, needs: CatchUpNeeds): CatchUp {
  const { raft, writer, durability, applying, sending, trimProposals } = needs
  const { node, faults, member, life, budget, watch, role, onWhole, onFailed } = wiring
  const { clock, transport, stateMachine, settings, self, logger, directory } = node
  const { disk } = watch
  const shared = {
    member,
    raft,
    settings,
    transport,
    logger,
    self,
    role,
    commitIndex: () => applying.commitIndex,
    whileRunning: (work: () => void) => life.whileRunning(work),
  }
  const installSender = new InstallSender({
    ...shared,
    stateMachine,
    budget,
    readEntries: (firstIndex, lastIndex, bytesMax, callback) =>
      sending.readEntries(firstIndex, lastIndex, bytesMax, callback),
  })
  const retention = new Retention({
    settings,
    disk,
    directory,
    raft,
    log: member.log,
    neededByInstall: (peer) => installSender.neededBy(peer),
    lacksReserve: () => watch.reserve.isMissed,
    leadsInTerm: () => (role().ready && life.isOpen ? role().term : null),
    keptFrom: () => trimProposals.neededFrom,
    propose: (before) => trimProposals.propose(before),
  })
  const installReceiver = new InstallReceiver({
    ...shared,
    disk,
    directory,
    checksummedFrom: member.hardState.checksummedFrom,
    defer: (callback) => clock.defer(callback),
    hasStateMachine: stateMachine !== null,
    durableTerm: () => durability.durableTerm,
    appliedIndex: () => applying.appliedIndex,
    checkpointIndex: () => stateMachine?.checkpointIndex ?? -1,
    blockedFrom: () => (writer.waitsForRepair ? writer.truncatesFrom : raft.blockedFrom),
    faults,
    onWhole,
    onFailed,
  })
  return { retention, installSender, installReceiver }
}

/** The members outlive a log: connections go on. @param rooms those of the log in force. */
export function makeMembers(
  { node, faults, member, life, role, onFailed }: Omit<Wiring, 'membersOf'>,
  raft: Raft,
  rooms: () => Rooms,
): Members {
  return new Members(
    {
      self: node.self,
      group: node.group,
      member,
      transport: node.transport,
      clock: node.clock,
      logger: node.logger,
      expected: node.bootstrapVoters,
      newStoreId: node.newStoreId,
      ...(node.classic === undefined ? {} : { classic: node.classic }),
      faults,
      role,
      commitIndex: () => rooms().applying.commitIndex,
      propose: (configuration) => {
        const { proposing } = rooms()
        const payload = encodeConfiguration(configuration)
        return proposing.canPlace && proposing.proposeControl('configuration', payload, configuration)
      },
      onFailed,
      onChanged: () => life.whileRunning(() => {}),
    },
    raft,
    helloOf(node, member),
  )
}
