/**
 * The super users that the configuration names: without a first one nobody could make any other.
 *
 * Keeps: a member makes them when it leads for the first time since it was started, those of whose name there is none; one that is there
 * keeps its password.
 *
 * Source: AuthenticationMetadataManagerImpl.initUser.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import { type MessageStoreApi, StoreError } from '@dledger-ts/store'
import { type InitialUser, initialUsers } from '../config/access-keys.ts'
import type { ConfigValues } from '../config/keys.ts'

const RETRY_MS = 1_000

export class InitialUsers {
  readonly #store: MessageStoreApi
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #missing: Set<InitialUser>
  #isUnderWay = false
  #cancelRetry: (() => void) | null = null

  constructor(options: {
    readonly config: ConfigValues
    readonly store: MessageStoreApi
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#clock = options.clock
    this.#store = options.store
    this.#logger = options.logger
    this.#missing = new Set(initialUsers(options.config))
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
    try {
      for (const one of this.#missing) {
        const { username, password } = one
        await this.#store.changeAccess(({ users }) => {
          if (users.has(username)) return null
          return { kind: 'putUser', user: { username, password, type: 'Super', status: 'enable' } }
        })
        this.#missing.delete(one)
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#logger.warn({ err: error }, 'users of the configuration could not be made')
      this.#cancelRetry = this.#clock.after(RETRY_MS, () => this.roleChanged())
    } finally {
      this.#isUnderWay = false
    }
  }
}
