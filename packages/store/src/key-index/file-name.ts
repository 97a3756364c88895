/**
 * The name of an index file: when it was made, `yyyyMMddHHmmssSSS` in local time. Names order the files, so a new one is always
 * above the one before it, also when the clock, or local time in autumn, went back.
 *
 * Source: org.apache.rocketmq.common.UtilAll.timeMillisToHumanString.
 */
const NAME_FORM = /^\d{17}$/

export function isIndexFileName(name: string): boolean {
  return NAME_FORM.test(name)
}

/** @param previous the newest name so far, '' for none. */
export function indexFileName(nowMs: number, previous: string): string {
  const now = new Date(nowMs)
  const name = formatted(
    now.getFullYear(),
    now.getMonth() + 1,
    now.getDate(),
    now.getHours(),
    now.getMinutes(),
    now.getSeconds(),
    now.getMilliseconds(),
  )
  return name > previous ? name : after(previous)
}

/** The name one millisecond later on the calendar. */
function after(name: string): string {
  const [year, month, day, hour, minute, second, ms] = [
    name.slice(0, 4),
    name.slice(4, 6),
    name.slice(6, 8),
    name.slice(8, 10),
    name.slice(10, 12),
    name.slice(12, 14),
    name.slice(14, 17),
  ].map(Number) as [number, number, number, number, number, number, number]
  const next = new Date(Date.UTC(year, month - 1, day, hour, minute, second, ms + 1))
  return formatted(
    next.getUTCFullYear(),
    next.getUTCMonth() + 1,
    next.getUTCDate(),
    next.getUTCHours(),
    next.getUTCMinutes(),
    next.getUTCSeconds(),
    next.getUTCMilliseconds(),
  )
}

function formatted(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  ms: number,
): string {
  const two = [month, day, hour, minute, second].map((part) => String(part).padStart(2, '0')).join('')
  return String(year).padStart(4, '0') + two + String(ms).padStart(3, '0')
}
