import type { Logger } from './logger.ts'

/** Runs a promise that nobody awaits: a rejection becomes an error line that says what was being done. */
export function background(promise: Promise<unknown>, what: string, logger: Logger): void {
  promise.catch((error: unknown) => {
    logger.error({ err: error }, `${what} failed`)
  })
}
