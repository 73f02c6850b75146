//! Texts for times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a duration with few digits, and its unit.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time < Duration::from_micros(1) => format!("{time:?}"),
        0..60 => format!("{time:.1?}"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Returns a time of day as `2026-11-30 09:12:33.123 UTC`.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (second, millis) = (second % 60, since.subsec_millis());
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03} UTC")
}

/// Returns the year, the month and the day that is `days` after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// Parses a time such as `500ms`, `5s`, `1.5m` or `2h`.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        let texts = [999, 1500, 17_640_000, 3_200_000_000, 205_000_000_000, 7_320_000_000_000];
        let texts = texts.map(|nanos| duration(Duration::from_nanos(nanos)));
        assert_eq!(texts, ["999ns", "1.5µs", "17.6ms", "3.2s", "3 min 25 s", "2 h 02 min"]);
        let edges = [59, 60, 3599, 3600].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(edges, ["59.0s", "1 min 00 s", "59 min 59 s", "1 h 00 min"]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        let dates = [0, 59, 789, 11_016, 20_787].map(date);
        let expected = [(1970, 1, 1), (1970, 3, 1), (1972, 2, 29), (2000, 2, 29), (2026, 11, 30)];
        assert_eq!(dates, expected);
        let time = UNIX_EPOCH + Duration::from_millis(20_787 * 86_400_000 + 33_153_123);
        assert_eq!(time_of_day(time), "2026-11-30 09:12:33.123 UTC");
    }

    #[test]
    fn times_are_parsed() {
        let times = ["500ms", "5s", "1.5m", "2h"].map(|text| parse_time(text).unwrap().as_millis());
        assert_eq!(times, [500, 5000, 90_000, 7_200_000]);
        for refused in ["", "5", "s", "-5s", "5 s", "5d", "1.2.3s", "99999999999999999999h"] {
            assert_eq!(parse_time(refused), None, "{refused}");
        }
    }
}
