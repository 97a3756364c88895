/**
 * What every command line of this package does alike: how it fails, logs, writes its process id and stops.
 *
 * Keeps: a mistake of the user is one line on standard error and exit status 1. SIGTERM and SIGINT close cleanly with status
 * 0; a second signal ends at once.
 */
import { readFileSync } from 'node:fs'
import { constants, networkInterfaces } from 'node:os'
import { type Logger as PinoLogger, pino } from 'pino'
import { RotatingFile } from './rotating-file.ts'

export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version

/** Set by scripts that start servers: where the log goes, beside standard error's place. */
const LOG_FILE_VARIABLE = 'DLEDGER_LOG_FILE'

/** Logs are JSON lines on standard error, or in the rotated file that a starting script names. */
export function createLogger(name: string): PinoLogger {
  const file = process.env[LOG_FILE_VARIABLE]
  const options = { name, level: process.env['LOG_LEVEL'] ?? 'info' }
  if (file !== undefined && file !== '') return pino(options, new RotatingFile(file))
  return pino(options, pino.destination({ dest: 2, sync: true }))
}

/** Ends the process with one line that says what was wrong. */
export function fail(program: string, error: unknown): never {
  process.stderr.write(`${program}: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

/** Runs `close` once on SIGTERM or SIGINT; a second signal does not wait for it. */
export function closeOnSignal(close: () => Promise<void>, onError: (error: unknown) => void): void {
  let closing = false
  const handler = (signal: NodeJS.Signals): void => {
    if (closing) process.exit(128 + constants.signals[signal])
    closing = true
    close().then(
      () => process.exit(0),
      (error: unknown) => {
        onError(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', handler)
  process.on('SIGINT', handler)
}

/** The first IPv4 address that is not loopback, or 127.0.0.1. */
export function ownAddress(): string {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const address of addresses ?? []) {
      if (address.family === 'IPv4' && !address.internal) return address.address
    }
  }
  return '127.0.0.1'
}
