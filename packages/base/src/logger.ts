/** A log line is an event with fields. The programs pass pino, which has this shape; libraries default to `silentLogger`. */
export interface Logger {
  debug(fields: Record<string, unknown>, event: string): void
  info(fields: Record<string, unknown>, event: string): void
  warn(fields: Record<string, unknown>, event: string): void
  error(fields: Record<string, unknown>, event: string): void
}

export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
}
