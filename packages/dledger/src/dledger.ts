/**
 * The embedding API: a replicated, durable log in a directory that the caller names. One member and no network by default.
 *
 *   const log = await DLedger.open({ directory: './data' })
 *   const { index } = await log.append(Buffer.from('hello'))
 *   for await (const entry of log.entries({ from: 0 })) …
 *   await log.close()
 *
 * Every accepted append completes exactly once: with its place once it is committed, or with TIMEOUT, outcome unknown.
 */
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { type Clock, silentLogger, systemClock, systemRandom } from '@dledger-ts/base'
import type { BackedUp } from './driver/backup.ts'
import { bareEnvelope } from './driver/batch-builder.ts'
import { checkNames, checkMemberName, invalid } from './config.ts'
import { Diagnostics } from './diagnostics.ts'
import {
  type AddMemberOptions,
  type BackupOptions,
  type DLedgerEvents,
  type DLedgerOptions,
  type IterateOptions,
  type LogEntry,
  type ReadIndexOptions,
  settingsOf,
} from './dledger-options.ts'
import { nodeDisk } from './disk/node-disk.ts'
import { DLedgerError } from './errors.ts'
import { offsetIn } from './driver/hot-tail.ts'
import { ENTRY_HEADER_BYTES, EntryChannel, type EntryBatch } from './log/entry-batch.ts'
import { LogNode } from './driver/node.ts'
import type { NodeStatus } from './driver/node-status.ts'
import { closed } from './driver/life.ts'
import type { ReadConsistency } from './driver/reading.ts'
import { checkMember } from './driver/open-member.ts'
import type { MembershipChange } from './raft/membership-change.ts'
import { processOwner } from './process-owner.ts'
import type { CommittedEntry, EntryPlace, Proposal } from './state-machine.ts'
import { LoneTransport } from './transport/lone.ts'
import { Waiters } from './waiters.ts'

/** Bytes that `entries()` reads at once. */
const ITERATE_BYTES = 256 * 1024
const CONSISTENCIES: readonly ReadConsistency[] = ['linearizable', 'lease', 'bounded']

export class DLedger extends EventEmitter<DLedgerEvents> {
  readonly #node: LogNode
  readonly #isAlone: boolean
  #closing: Promise<void> | null = null
  #fatal: Error | null = null
  readonly #waiters = new Waiters(() => this.#fatal ?? (this.#closing === null ? null : closed()))
  readonly #clock: Clock
  readonly #proposalTimeoutMs: number
  /** Grows with each progress, so that a reader of statuses notices one that came while it was busy. */
  #changes = 0

  private constructor(node: LogNode, options: DLedgerOptions) {
    super()
    this.#node = node
    this.#isAlone = options.transport === undefined
    this.#clock = options.clock ?? systemClock
    this.#proposalTimeoutMs = settingsOf(options).proposalTimeoutMs
  }

  /**
   * Refuses a directory that `open` would refuse for its owner, group, member, file size, format or damage, and changes nothing:
   * for embedders that open other files before the log.
   *
   * @throws DLedgerError INVALID or CORRUPT.
   */
  static check(options: DLedgerOptions): void {
    checkMember({
      disk: options.disk ?? nodeDisk,
      directory: options.directory,
      group: options.group ?? 'default',
      self: options.self ?? 'n0',
      settings: settingsOf(options),
      owner: options.owner ?? processOwner(),
      ...(options.classic === undefined ? {} : { classic: options.classic }),
    })
  }

  /**
   * Opens or makes the directory, recovers it and joins the group. Resolves as soon as the member runs; a group of one leads
   * and takes appends by then (but for `opensEarly`), others elect first (see `status`).
   *
   * @throws DLedgerError INVALID (a setting, a directory in use or of another group), CORRUPT, STORAGE_FAILED.
   */
  static async open(options: DLedgerOptions): Promise<DLedger> {
    const self = options.self ?? 'n0'
    const clock = options.clock ?? systemClock
    let opened: DLedger | null = null
    let fatal: Error | null = null
    const node = new LogNode({
      clock,
      random: options.random ?? systemRandom,
      disk: options.disk ?? nodeDisk,
      transport: options.transport ?? new LoneTransport(clock),
      logger: options.logger ?? silentLogger,
      directory: options.directory,
      group: options.group ?? 'default',
      self,
      bootstrapVoters: options.members ?? (options.classic === 'slave' ? [] : [self]),
      joins: options.join === true || options.classic === 'slave',
      ...(options.classic === undefined ? {} : { classic: options.classic }),
      ...(options.onAcknowledged === undefined ? {} : { onAcknowledged: options.onAcknowledged }),
      settings: settingsOf(options),
      stateMachine: options.stateMachine ?? null,
      onProgress: () => {
        if (opened !== null) opened.#wake()
      },
      controlEnvelope: options.controlEnvelope ?? bareEnvelope,
      advertised: options.advertised ?? '',
      owner: options.owner ?? processOwner(),
      newStoreId: randomUUID,
      assumeIntact: options.assumeIntact ?? false,
      ...(options.ticker === undefined ? {} : { ticker: options.ticker }),
      observer: new Diagnostics({
        group: options.group ?? 'default',
        self,
        onRole: (state) => clock.defer(() => opened?.emit('role', state)),
        onPeer: (id, connected) =>
          clock.defer(() => {
            if (opened === null) return
            opened.#wake()
            opened.emit('peer', id, connected)
          }),
      }),
      onFatal: (error) => {
        fatal = error
        if (opened !== null) opened.#stopped(error)
        options.onFatal?.(error)
      },
    })
    await new Promise<void>((resolve, reject) => {
      node.start((error) => (error === null ? resolve() : reject(error)))
    })
    opened = new DLedger(node, options)
    try {
      if (fatal !== null) throw fatal
      // Its identity is bound, too: what the caller appends next is the next entry.
      const { peers, voters } = node.status
      const isAlone = options.classic === undefined ? peers.length === 0 : options.classic === 'master'
      if (isAlone && voters.length === 1 && voters[0]?.id === self)
        await opened.#waiters.until(
          () =>
            node.isHeldUp ||
            options.opensEarly?.() === true ||
            (node.role.ready && node.appliedIndex === node.lastIndex),
        )
    } catch (error) {
      await opened.close()
      throw error
    }
    return opened
  }

  /**
   * Appends one or several bodies; resolves with their places once all are committed (and applied here).
   *
   * @throws DLedgerError NOT_LEADER, BUSY, TOO_LARGE, DISK_FULL, CLOSED: nothing was stored. TIMEOUT: it may have been, also
   * after an abort, which ends the wait and not the append.
   */
  append(body: Buffer, options?: { signal?: AbortSignal }): Promise<EntryPlace>
  append(bodies: readonly Buffer[], options?: { signal?: AbortSignal }): Promise<EntryPlace[]>
  async append(
    bodies: Buffer | readonly Buffer[],
    options: { signal?: AbortSignal } = {},
  ): Promise<EntryPlace | EntryPlace[]> {
    options.signal?.throwIfAborted()
    const many = Buffer.isBuffer(bodies) ? [bodies] : bodies
    // A size that is no number would stop the member.
    if (!Array.isArray(many) || !many.every((body) => Buffer.isBuffer(body))) {
      const what = 'a body is a Buffer'
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    const places = await withAbort(Promise.all(many.map((body) => this.#appendOne(body))), options.signal)
    return Buffer.isBuffer(bodies) ? (places[0] as EntryPlace) : places
  }

  /** Proposes without a promise: for embedders with many appends in flight. Hot. */
  propose(proposal: Proposal): void {
    this.#node.propose(proposal)
  }

  /** @returns the committed entry at `index`, or null for a control entry. @throws DLedgerError TRIMMED or INVALID. */
  async read(index: number): Promise<LogEntry | null> {
    if (!Number.isSafeInteger(index)) {
      const what = `index ${index} is no whole number`
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    if (index > this.commitIndex) {
      const what = `index ${index} is not committed; the last committed one is ${this.commitIndex}`
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    const batch = await this.#readBatch(index, index, 1)
    return dataEntry(batch, index, offsetIn(batch, index))
  }

  /** Iterates over the committed data entries, oldest first; control entries are left out. */
  async *entries(options: IterateOptions = {}): AsyncGenerator<LogEntry, void, undefined> {
    let index = options.from ?? this.firstIndex
    for (;;) {
      options.signal?.throwIfAborted()
      if (index > this.commitIndex) {
        if (options.follow !== true) return
        const wanted = index
        await this.#waiters.until(() => this.commitIndex >= wanted, options.signal)
        continue
      }
      const last = this.commitIndex
      const batch = await this.#readBatch(index, last, ITERATE_BYTES)
      const end = Math.min(last, batch.firstIndex + batch.count - 1)
      let at = offsetIn(batch, index)
      for (; index <= end; index++) {
        const entry = dataEntry(batch, index, at)
        at += batch.sizes[index - batch.firstIndex] as number
        if (entry !== null) yield entry
      }
    }
  }

  /**
   * Waits until reading what is applied here is as fresh as asked for, on any member. Nothing is appended for it.
   *
   * - `linearizable` (default): everything acknowledged before the call is visible. The leader asks a majority, a follower asks
   *   the leader; all calls of one moment share that.
   * - `lease`: the same, answered by the leader alone where `leaseReads` is on and its lease holds; elsewhere as above.
   * - `bounded`: everything acknowledged more than `maxStalenessMs` before the call is visible. A member in touch with its leader answers at
   *   once from about three heartbeats on; otherwise it waits for a heartbeat or two, then asks as above.
   *
   * @returns the index up to which the state must be read; it is applied here.
   * @throws DLedgerError NOT_LEADER (none is known, or it changed meanwhile: try again), TIMEOUT, BUSY, CLOSED, INVALID.
   */
  async readIndex(options: ReadIndexOptions = {}): Promise<number> {
    options.signal?.throwIfAborted()
    const { consistency = 'linearizable', maxStalenessMs = 0 } = options
    if (!CONSISTENCIES.includes(consistency)) {
      const what = `consistency is ${String(consistency)}; ${CONSISTENCIES.join(', ')} are allowed`
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    if (consistency === 'bounded' && !(maxStalenessMs > 0)) {
      const what = `maxStalenessMs is ${maxStalenessMs}; bounded reads need a number of milliseconds above 0`
      throw new DLedgerError(what, { code: 'INVALID', what })
    }
    const index = new Promise<number>((resolve, reject) => {
      this.#node.readIndex({ consistency, maxStalenessMs, done: resolve, failed: reject })
    })
    return withAbort(index, options.signal)
  }

  /**
   * Reads entries [firstIndex, lastIndex] as the state machine was given them, checked: entries of one term, at least one, and no
   * more than `bytesMax` where that is more than one. Never calls back from within the call.
   *
   * @param lastIndex at most `appliedIndex`. The callback's error: CORRUPT for lost entries, TRIMMED, CLOSED.
   */
  readApplied(
    firstIndex: number,
    lastIndex: number,
    bytesMax: number,
    callback: (error: Error | null, entries: readonly CommittedEntry[] | null) => void,
  ): void {
    this.#node.readApplied(firstIndex, lastIndex, bytesMax, callback)
  }

  /**
   * Reads the applied entry that starts at byte `pos`, checked; null when none starts there. Costs a search: for readers of raw bytes
   * that found them wrong. Lost entries are CORRUPT, and known as lost from then on.
   */
  readAppliedAt(pos: number, callback: (error: Error | null, entry: CommittedEntry | null) => void): void {
    this.#node.readAppliedAt(pos, callback)
  }

  /**
   * Reads raw bytes of the log at a position, e.g. a body at `pos + 48`. They are not checked: see `isEntryAt`.
   *
   * @param target of `size` bytes, where they are put; after an error something may still be written to it. Default: a new buffer.
   */
  readBytes(
    pos: number,
    size: number,
    callback: (error: Error | null, bytes: Buffer | null) => void,
    target?: Buffer,
  ): void {
    this.#node.readBytes(pos, size, callback, target)
  }

  /** The entry that the data file of byte `pos` begins with; null when that cannot be told. Reads a header, synchronously. */
  firstIndexInFileOf(pos: number): number | null {
    return this.#node.firstIndexInFileOf(pos)
  }

  /**
   * Entries below this are to be forgotten as soon as nothing keeps them: applied, synced, in the state machine's checkpoint. 0 when
   * no trim entry was applied since the start.
   */
  get forgetBefore(): number {
    return this.#node.forgetBefore
  }

  get firstIndex(): number {
    return this.#node.firstIndex
  }

  get lastIndex(): number {
    return this.#node.lastIndex
  }

  get commitIndex(): number {
    return this.#node.commitIndex
  }

  get appliedIndex(): number {
    return this.#node.appliedIndex
  }

  status(): NodeStatus {
    return this.#node.status
  }

  /** The term of the entry at `index`, also of the one before the first that is kept; -1 where that is not known. */
  termAt(index: number): number {
    return this.#node.termAt(index)
  }

  /** The entry at `index` is damaged here, and so is what says its term: `termAt` tells a likely one. */
  isTermGuessed(index: number): boolean {
    return this.#node.isTermGuessed(index)
  }

  /** Nothing but a repair lets this member apply the next entry, or lead. */
  get isHeldUp(): boolean {
    return this.#node.isHeldUp
  }

  /** Bytes of the log behind the entry at `index`, as far as they are kept. */
  bytesAfter(index: number): number {
    return this.#node.bytesAfter(index)
  }

  /** The last entry that at least so many followers hold, durably as they promise: for the leader; -1 for none. */
  heldBy(count: number): number {
    return this.#node.heldBy(count)
  }

  /**
   * A slave: hears this master from now on, and nobody else, whatever its own log names; and that one no more once it was started anew, until
   * this is called again. The caller has made sure that the master's log has all that is here, and that it has added this member.
   */
  follow(master: { readonly id: string; readonly storeId: string; readonly address: string }): void {
    this.#node.follow(master)
  }

  /** A master: stops with OUTDATED, for another copy was made the master. What a slave of its own says is remembered at its next start; this is not. */
  outdated(why: string): void {
    this.#node.outdated(why)
  }

  /**
   * The status now, and again after each change of it: the newest one each time, so a slow reader misses those in between.
   * `hotBytes`, `stalenessMs` and `scrub` move all the time and are no change by themselves.
   * Ends when the log is closed.
   *
   * @throws the reason of `signal` when it is aborted, and what stopped the member.
   */
  async *statuses(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<NodeStatus, void, undefined> {
    for (;;) {
      options.signal?.throwIfAborted()
      if (this.#closing !== null) return
      const seen = this.#changes
      yield this.#node.status
      try {
        await this.#waiters.until(() => this.#changes !== seen, options.signal)
      } catch (error) {
        if (error instanceof DLedgerError && error.code === 'CLOSED') return
        throw error
      }
    }
  }

  /** What a member said of itself when it last connected; null when it has not. */
  advertisedOf(member: string): string | null {
    return this.#node.advertisedOf(member)
  }

  /**
   * Lets every member forget the entries below `index`: whole files only, and on each member only what its state machine has in
   * its checkpoint (without a state machine, what is applied). Resolves once the decision is applied here; leader only.
   *
   * @throws DLedgerError NOT_LEADER, INVALID, CLOSED: nothing was decided. TIMEOUT, after `proposalTimeoutMs` or when the leadership
   *   is lost: it may have been.
   */
  async trimBefore(index: number): Promise<void> {
    const place = this.#node.trimBefore(index)
    const unknown = new DLedgerError('the trim was not committed in time, or by this leader; it may still happen', {
      code: 'TIMEOUT',
    })
    const limit = new AbortController()
    const cancel = this.#clock.after(this.#proposalTimeoutMs, () => limit.abort(unknown))
    try {
      await this.#waiters.until(() => this.appliedIndex >= place.index || !this.#leadsIn(place.term), limit.signal)
    } finally {
      cancel()
    }
    // No other entry has that place as long as the term is this one.
    if (this.appliedIndex < place.index || this.#node.role.term !== place.term) throw unknown
  }

  /**
   * Lets the files go that are old enough (`retentionMs`) whatever the hour (`retentionHours`): looked at with the next heartbeat, and
   * 20 times in all, as what keeps a file may end. Leader only.
   *
   * @throws DLedgerError NOT_LEADER, CLOSED.
   */
  forgetExpired(): void {
    this.#node.forgetExpired()
  }

  /**
   * What is written beside the log, and lets more of it be trimmed, found no room on the disk: the reserve (`diskReserveBytes`) is given
   * for it, and appends are refused with DISK_FULL until there is room to spare. Nothing happens where there is none.
   */
  makeRoom(): void {
    this.#node.makeRoom()
  }

  /**
   * Copies what is committed here, on any member, into an empty directory, which opens as the log of a group of the same name that
   * consists of `members` (default: this member alone) and goes on from there. Copies of the directory, one for each of those
   * members, are the group; whoever opens one takes it under its own id and a store identity of its own. The state of a state
   * machine is not in it: where the log was trimmed, the embedder keeps that beside it.
   *
   * Nothing is trimmed here meanwhile. It is read at the rate of followers (`catchUpBytesPerSecond`).
   *
   * @returns the first and last entry that were copied; entries that name the members follow them.
   * @throws DLedgerError INVALID for a directory that is not empty (nothing was changed), CORRUPT for entries that are damaged
   *   here, STORAGE_FAILED, CLOSED, and the reason of `signal`: the files are removed again.
   */
  async backup(directory: string, options: BackupOptions = {}): Promise<BackedUp> {
    options.signal?.throwIfAborted()
    const { group, self } = this.#node.status
    const members = options.members ?? [self]
    checkNames(group, members[0] ?? '', members, false)
    return new Promise((resolve, reject) => {
      const abort = this.#node.backup({ directory, members }, (error, backedUp) => {
        options.signal?.removeEventListener('abort', onAbort)
        if (backedUp === null) reject(error ?? closed())
        else resolve(backedUp)
      })
      const onAbort = (): void => abort(options.signal?.reason as Error)
      options.signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /**
   * Hands the leadership to another member, by default the one that can take over best; resolves when it leads. Appends wait
   * meanwhile, an election timeout at most.
   *
   * @throws DLedgerError NOT_LEADER (also when a third member took over), INVALID when it cannot be handed to that member, TIMEOUT
   *   when nobody took over in time: this member goes on leading if it can. CLOSED.
   */
  transferLeadership(target: string | null = null): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#node.transferLeadership(target, (error) => (error === null ? resolve() : reject(error)))
    })
  }

  /**
   * Adds a member, or gives one another role or address; this member must lead. A voter is a learner first and becomes a voter once
   * it has caught up, also under another leader. Resolves when that is committed.
   *
   * @throws DLedgerError NOT_LEADER or INVALID (with what): nothing was changed. TIMEOUT, also after an abort: it may still happen;
   * calling again goes on with it. Of changes of one member that contradict each other, the later one ends those before, with INVALID
   * or TIMEOUT.
   */
  addMember({ id, address, role = 'voter', signal }: AddMemberOptions): Promise<void> {
    return this.#change({ kind: 'add', id, address: address ?? null, role }, signal)
  }

  /**
   * Removes a voter or a learner, this member too; this member must lead. Resolves when that is committed, and at once for who is
   * none. A leader that removes itself then hands over.
   *
   * @throws as `addMember`.
   */
  removeMember(id: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#change({ kind: 'remove', id }, signal)
  }

  async #change(change: MembershipChange, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    checkMemberName(change.id)
    if (this.#isAlone && change.kind === 'add' && change.id !== this.status().self) {
      throw invalid(`${change.id} cannot be added: this member was opened without a transport`)
    }
    return new Promise((resolve, reject) => {
      const cancel = this.#node.changeMembership(change, (error) => {
        signal?.removeEventListener('abort', cancel)
        if (error === null) resolve()
        else reject(error)
      })
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** Hands over, syncs, closes. Idempotent. @throws when the final sync failed. */
  close(): Promise<void> {
    this.#closing ??= new Promise<void>((resolve, reject) => {
      this.#node.close((error) => (error === null ? resolve() : reject(error)))
    }).finally(() => {
      this.#wake()
      this.emit('closed')
    })
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #appendOne(body: Buffer): Promise<EntryPlace> {
    return new Promise((resolve, reject) => {
      this.#node.propose({
        bodyBytes: body.length,
        encodeBody: (target, at) => {
          body.copy(target, at)
        },
        committed: resolve,
        failed: reject,
      })
    })
  }

  #readBatch(firstIndex: number, lastIndex: number, bytesMax: number): Promise<EntryBatch> {
    return new Promise((resolve, reject) => {
      if (firstIndex < this.firstIndex) {
        reject(
          new DLedgerError(`entry ${firstIndex} is gone; the first one kept is ${this.firstIndex}`, {
            code: 'TRIMMED',
            firstIndex: this.firstIndex,
          }),
        )
        return
      }
      this.#node.read(firstIndex, lastIndex, bytesMax, (error, batch) => {
        if (error !== null) reject(error)
        else if (batch === null) reject(new DLedgerError(`entry ${firstIndex} cannot be read`, { code: 'CLOSED' }))
        else resolve(batch)
      })
    })
  }

  #leadsIn(term: number): boolean {
    const { role } = this.#node
    return role.role === 'LEADER' && role.term === term
  }

  /** Nobody waits for what cannot come any more. */
  #stopped(error: Error): void {
    this.#fatal = error
    this.#wake()
    this.emit('failed', error)
  }

  #wake(): void {
    this.#changes++
    this.#waiters.wake()
  }
}

function dataEntry(batch: EntryBatch, index: number, at: number): LogEntry | null {
  if (batch.bytes.readInt32BE(at + 32) !== EntryChannel.DATA) return null
  const i = index - batch.firstIndex
  return {
    index,
    term: batch.term,
    pos: batch.positions[i] as number,
    body: batch.bytes.subarray(at + ENTRY_HEADER_BYTES, at + (batch.sizes[i] as number)),
  }
}

async function withAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  let onAbort: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    // An abort that has been before is not told again.
    if (signal.aborted) reject(signal.reason as Error)
    onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
  }
}
