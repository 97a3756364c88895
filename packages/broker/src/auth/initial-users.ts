/**
 * The users that the configuration names: without a first one nobody could make any other; and those that are taken over from ACL 1.0.
 *
 * Keeps: a member makes them when it leads for the first time since it was started, those of whose name there is none; one that is there
 * keeps its password and its policies. A user that is made has its policies from the first.
 *
 * Source: AuthenticationMetadataManagerImpl.initUser, AuthMigrator.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import { type MessageStoreApi, StoreError } from '@dledger-ts/store'
import { initialUsers } from '../config/access-keys.ts'
import type { ConfigValues } from '../config/keys.ts'
import type { WantedUser } from './plain-acl.ts'

const RETRY_MS = 1_000

export class InitialUsers {
  readonly #store: MessageStoreApi
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #missing: Set<WantedUser>
  #isUnderWay = false
  #cancelRetry: (() => void) | null = null

  constructor(options: {
    readonly config: ConfigValues
    /** Of ACL 1.0. */
    readonly takenOver: readonly WantedUser[]
    readonly store: MessageStoreApi
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#clock = options.clock
    this.#store = options.store
    this.#logger = options.logger
    const own = initialUsers(options.config).map(({ username, password }): WantedUser => ({
      user: { username, password, type: 'Super', status: 'enable' },
      policies: null,
    }))
    this.#missing = new Set([...own, ...options.takenOver])
  }

  /** This member leads now, or does not. */
  roleChanged(): void {
    if (this.#missing.size === 0 || this.#isUnderWay || !this.#store.isReady()) return
    this.#isUnderWay = true
    background(this.#make(), 'making the users of the configuration', this.#logger)
  }

  stop(): void {
    this.#cancelRetry?.()
    this.#missing.clear()
  }

  async #make(): Promise<void> {
    const made: string[] = []
    try {
      for (const one of this.#missing) {
        if (await this.#makeOne(one)) made.push(one.user.username)
        this.#missing.delete(one)
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#logger.warn({ err: error }, 'users of the configuration could not be made')
      this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.roleChanged())
    } finally {
      this.#isUnderWay = false
      if (made.length > 0) this.#logger.info({ users: made }, 'users of the configuration are made')
    }
  }

  /** Its policies first: a user is not found again without them where this ends in between. @returns whether there was none of that name. */
  async #makeOne({ user, policies }: WantedUser): Promise<boolean> {
    const { username } = user
    if (policies !== null) {
      await this.#store.changeAccess(({ users }) => (users.has(username) ? null : { kind: 'putPolicies', policies }))
    }
    let isNew = false
    await this.#store.changeAccess(({ users }) => {
      isNew = !users.has(username)
      return isNew ? { kind: 'putUser', user } : null
    })
    return isNew
  }
}
