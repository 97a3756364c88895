/**
 * The transport of one group of many: a `Transport` as any other to its member, but it owns no connection. Those belong to the node,
 * and all its groups share them (multiplexer.ts), so starting, renewing and closing one group joins and leaves them and disturbs no
 * other. Whom a group may talk to is the group's to say; whom the node dials is the host's.
 *
 * Keeps: a closed group sends nothing and is told nothing; it takes its members with it, so that nothing is left of it at the node.
 */
import { assert } from '@dledger-ts/base'
import type { MemberId, Message } from '../raft/messages.ts'
import type { Hello, Transport, TransportHandler } from '../transport/transport.ts'
import type { Multiplexer } from './multiplexer.ts'
import type { RemoteMember } from './remote-node.ts'

export class GroupTransport implements Transport {
  readonly name: string
  /** By which other nodes know it; never that of another group of this process. */
  readonly number: number
  readonly #multiplexer: Multiplexer
  readonly #members = new Map<MemberId, RemoteMember>()
  #hello: Hello | null = null
  #handler: TransportHandler | null = null
  #closed = false
  /** @internal Its start has been told. */
  isLive = false
  /** @internal Who is let in is to be judged again. */
  isToJudge = false

  /** @internal Made by `Multiplexer.transport`. */
  constructor(multiplexer: Multiplexer, name: string, number: number) {
    this.#multiplexer = multiplexer
    this.name = name
    this.number = number
  }

  start(hello: Hello, handler: TransportHandler, callback: (error: Error | null) => void): void {
    assert(this.#hello === null, 'a transport starts once')
    assert(hello.member === this.#multiplexer.self, 'a member has the name of its node')
    this.#hello = hello
    this.#handler = handler
    this.#multiplexer.join(this, callback)
  }

  /** The host says which nodes are dialed, and where. What has changed here is who is let in: those who have joined are judged anew. */
  setPeers(): void {
    if (!this.#closed) this.#multiplexer.judgeAgain(this)
  }

  renew(hello: Hello): void {
    this.#hello = hello
    if (!this.#closed) this.#multiplexer.rejoin(this)
  }

  send(message: Message, payload: readonly Buffer[] | null): void {
    assert(message.storeId === this.#hello?.storeId, 'a message carries the store identity of the hello')
    this.#multiplexer.send(this.#members.get(message.to), message, payload)
  }

  queuedBytes(peer: MemberId): number {
    const member = this.#members.get(peer)
    return member === undefined ? 0 : this.#multiplexer.queuedBytes(member)
  }

  close(callback: () => void): void {
    if (!this.#closed) {
      this.#closed = true
      if (this.#hello !== null) this.#multiplexer.leave(this)
      this.#members.clear()
    }
    this.#multiplexer.defer(callback)
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** @internal The rest is for the multiplexer. Of a started one: what it says of itself now. */
  get hello(): Hello {
    return { ...(this.#hello as Hello), standing: this.handler.standing?.() ?? null }
  }

  /** @internal */
  get handler(): TransportHandler {
    return this.#handler as TransportHandler
  }

  /** @internal */
  get members(): ReadonlyMap<MemberId, RemoteMember> {
    return this.#members
  }

  /** @internal */
  removeMember(id: MemberId): void {
    this.#members.delete(id)
  }

  /** @internal */
  addMember(member: RemoteMember): void {
    this.#members.set(member.node.id, member)
  }
}
