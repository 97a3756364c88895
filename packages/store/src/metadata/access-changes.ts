/**
 * Users and policies as a program changes them.
 *
 * Keeps: one change after another, each made from what the ones before have left, so that of two at the same time none is lost:
 *   - a change whose outcome is not known may still come, so the next one is made when everything before it in the log is applied;
 *   - only a ready leader makes any, also those that turn out to change nothing: it begins with all that its predecessors' became.
 */
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import {
  type AccessPolicies,
  type AccessTable,
  type AccessUser,
  isAccessPolicies,
  isAccessUser,
  subjectOf,
} from './access-table.ts'
import type { Change } from './change.ts'
import type { ChangeProposer } from './change-proposals.ts'

/** Changes that wait for the ones before at most. */
const WAITING_MAX = 1_000
/** Known to members of every version. */
const NO_CHANGE: Change = { kind: 'consumerOffsets', offsets: [] }

/** What to do, from what is there; null: nothing. It may throw, and that is what the caller gets. */
export type AccessEdit = (table: ReadonlyAccess) => AccessChange | null

export interface ReadonlyAccess {
  readonly users: ReadonlyMap<string, AccessUser>
  readonly policies: ReadonlyMap<string, AccessPolicies>
}

export type AccessChange =
  | { readonly kind: 'putUser'; readonly user: AccessUser }
  | { readonly kind: 'deleteUser'; readonly username: string }
  | { readonly kind: 'putPolicies'; readonly policies: AccessPolicies }
  | { readonly kind: 'deletePolicies'; readonly subject: string }

export class AccessChanges {
  readonly #machine: StoreMachine
  readonly #changes: ChangeProposer
  #last: Promise<void> = Promise.resolve()
  #waiting = 0
  /** One before was not committed in time, and may be in the log still. */
  #mayStillCome = false

  constructor(options: { readonly machine: StoreMachine; readonly changes: ChangeProposer }) {
    this.#machine = options.machine
    this.#changes = options.changes
  }

  /**
   * Resolves when the change is applied here.
   *
   * @throws what `edit` throws; StoreError as a put, INVALID, BUSY (also where one before is not known to be applied: nothing was done).
   */
  change(edit: AccessEdit): Promise<void> {
    if (this.#waiting >= WAITING_MAX) {
      return Promise.reject(new StoreError('too many changes of users and policies wait', { code: 'BUSY' }))
    }
    this.#waiting++
    const run = this.#last.then(async () => {
      try {
        this.#requireLeader()
        if (this.#mayStillCome) await this.#awaitEarlier()
        const change = edit(this.#machine.metadata.access)
        if (change === null) return
        check(change)
        await this.#propose(change)
      } finally {
        this.#waiting--
      }
    })
    // The next one begins whatever became of this one, which its own caller is told.
    this.#last = run.then(nothing, nothing)
    return run
  }

  async #propose(change: AccessChange): Promise<void> {
    try {
      await this.#changes.propose(change)
    } catch (error) {
      if (error instanceof StoreError && error.code === 'TIMEOUT') this.#mayStillCome = true
      throw error
    }
  }

  /** Entries are applied in order: when one that changes nothing is, so is everything before it that was ever to be. */
  async #awaitEarlier(): Promise<void> {
    try {
      await this.#changes.propose(NO_CHANGE)
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'TIMEOUT') throw error
      const what = 'it is not known yet what became of the change of users and policies before: nothing was changed'
      throw new StoreError(what, { code: 'BUSY' }, { cause: error })
    }
    this.#mayStillCome = false
    this.#requireLeader()
  }

  #requireLeader(): void {
    const { role } = this.#machine
    if (role.ready) return
    throw new StoreError('this member does not lead', { code: 'NOT_LEADER', leader: role.leader })
  }
}

/** How a change alters the table. @returns the keys of the kept rows that it writes, with what they hold from now on. */
export function applyAccess(
  table: AccessTable,
  change: AccessChange,
): [kind: 'user' | 'acl', key: string, value: unknown][] {
  switch (change.kind) {
    case 'putUser':
      table.users.set(change.user.username, change.user)
      return [['user', change.user.username, change.user]]
    case 'deleteUser': {
      const subject = subjectOf(change.username)
      table.users.delete(change.username)
      table.policies.delete(subject)
      return [
        ['user', change.username, null],
        ['acl', subject, null],
      ]
    }
    case 'putPolicies':
      table.policies.set(change.policies.subject, change.policies)
      return [['acl', change.policies.subject, change.policies]]
    case 'deletePolicies':
      table.policies.delete(change.subject)
      return [['acl', change.subject, null]]
  }
}

/** @returns undefined when it is none. */
export function accessChangeOf(map: Record<string, unknown>): AccessChange | undefined {
  const { kind, user, username, policies, subject } = map as Partial<Record<string, unknown>>
  if (kind === 'putUser' && isAccessUser(user)) return { kind, user }
  if (kind === 'deleteUser' && typeof username === 'string') return { kind, username }
  if (kind === 'putPolicies' && isAccessPolicies(policies)) return { kind, policies }
  if (kind === 'deletePolicies' && typeof subject === 'string') return { kind, subject }
  return undefined
}

/** Passwords are not told. @throws StoreError INVALID. */
function check(change: AccessChange): void {
  if (accessChangeOf(change as unknown as Record<string, unknown>) !== undefined) return
  const what = `a change of kind ${change.kind} lacks a name, a password or a field, or has a name that cannot be`
  throw new StoreError(what, { code: 'INVALID', what })
}

function nothing(): void {}
