/**
 * What the network brings: each message to the room that it is for.
 *
 * Keeps: a member that does not run, or whose log is being replaced, hears nothing; one that closes takes no more entries and no
 * files, for a leader that goes on sending must not hold that up.
 */
import { invalid } from '../config.ts'
import type { InstallAck, InstallOffer, InstallPiece, MemberId, Message } from '../raft/messages.ts'
import type { RoleState } from '../raft/output.ts'
import type { Hello, Refusal, Standing, TransportHandler } from '../transport/transport.ts'
import type { Life } from './life.ts'
import type { LogNodeOptions } from './node-options.ts'
import type { OpenedMember } from './open-member.ts'
import type { Rooms } from './rooms.ts'

export interface InputsOptions {
  readonly node: LogNodeOptions
  readonly member: OpenedMember
  readonly life: Life
  /** Of the log in force. */
  readonly rooms: () => Rooms
  readonly role: () => RoleState
  readonly isSwitching: () => boolean
  readonly schedulePass: () => void
  /** Before anything is heard. */
  readonly inputCame: () => void
  /** The same before a heartbeat of the leader that this member follows. */
  readonly heartbeatCame: () => void
  readonly onFailed: (error: Error) => void
}

export class Inputs implements TransportHandler {
  readonly #options: InputsOptions
  #takesEntries = true

  constructor(options: InputsOptions) {
    this.#options = options
  }

  /** False once a close waits for the disk to be quiet. */
  get takesEntries(): boolean {
    return this.#takesEntries
  }

  /** From now on messages that bring entries or files are as if they had been lost. */
  takeNoEntries(): void {
    this.#takesEntries = false
  }

  judge(hello: Hello): Refusal | null {
    return this.#options.rooms().members.judge(hello)
  }

  standing(): Standing | null {
    return this.#options.rooms().members.standing()
  }

  message(message: Message, payload: Buffer | null): void {
    const { life, inputCame, heartbeatCame } = this.#options
    if (!this.#hears) return
    if (message.type === 'Heartbeat' && this.#isFollowed(message)) heartbeatCame()
    else inputCame()
    if (this.#hears) life.guarded(() => this.#hear(message, payload))
  }

  get #hears(): boolean {
    return this.#options.life.isRunning && !this.#options.isSwitching()
  }

  #isFollowed({ from, term }: Message): boolean {
    const role = this.#options.role()
    return role.role === 'FOLLOWER' && role.leader === from && role.term === term
  }

  #hear(message: Message, payload: Buffer | null): void {
    const { rooms, schedulePass } = this.#options
    const { raft, receiving, repairing, reading, outputs } = rooms()
    if (message.type === 'InstallOffer' || message.type === 'InstallPiece' || message.type === 'InstallAck') {
      this.#onInstall(message, payload)
      return
    }
    if (message.type === 'AppendEntries' && message.count > 0) {
      if (!this.#takesEntries) return
      receiving.received(message, payload)
    } else if (message.type === 'RepairRequest') repairing.requested(message)
    else if (message.type === 'RepairResponse') repairing.answered(message, payload)
    else raft.step(message)
    if (message.type === 'AppendEntriesResponse') this.#options.node.onAcknowledged?.()
    if (message.type === 'Heartbeat' || message.type === 'HeartbeatResponse') {
      // The traffic of an idle group: it asks for nothing that a pass could gather, unless it tells of a commit.
      outputs.drain(null)
      reading.heard()
      return
    }
    schedulePass()
  }

  #onInstall(message: InstallOffer | InstallPiece | InstallAck, payload: Buffer | null): void {
    const { rooms, role, schedulePass } = this.#options
    const { raft, installReceiver, installSender } = rooms()
    if (!this.#takesEntries) return
    if (!(message.type === 'InstallAck' ? raft.hears(message) : raft.hearsAsLeader(message))) return
    if (message.type === 'InstallOffer') installReceiver.offered(message, payload)
    else if (message.type === 'InstallPiece') installReceiver.received(message, payload)
    else if (role().role === 'LEADER') installSender.acknowledged(message)
    schedulePass()
  }

  peerConnected(id: MemberId, hello: Hello): void {
    const { node, life, rooms, inputCame } = this.#options
    inputCame()
    life.whileRunning(() => {
      rooms().members.connected(id, hello)
      node.observer?.peerChanged(id, true)
      node.onProgress?.()
    })
  }

  peerLost(id: MemberId): void {
    const { node, life, rooms, inputCame } = this.#options
    inputCame()
    life.whileRunning(() => {
      rooms().members.lost(id)
      node.observer?.peerChanged(id, false)
      node.onProgress?.()
    })
  }

  peerRefused(id: MemberId, refusal: Refusal): void {
    const { member, life, rooms, inputCame, onFailed } = this.#options
    inputCame()
    life.whileRunning(() => {
      // A member that has nothing yet was set up wrongly; one that holds entries of a group stays with it.
      const isMisfit = rooms().members.refused(id, refusal)
      if (isMisfit && member.log.lastIndex === -1) onFailed(invalid(refusal.why))
    })
  }
}
